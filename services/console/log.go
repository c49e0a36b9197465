package console

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// errEnd ends a reading of the log at the end as it was when it began.
var errEnd = errors.New("console: end of the log")

// eachMessage reads the messages of the log from the beginning up to its end as
// it is now.
func (s *Service) eachMessage(ctx context.Context, fn func(bus.Message) error) error {
	ends, left, err := s.ends(ctx)
	if err != nil || left == 0 {
		return err
	}
	err = s.deps.Bus.ReadLog(ctx, bus.ReadOptions{}, func(m bus.Message) error {
		if m.Sequence > ends[m.Partition] {
			return nil
		}
		if err := fn(m); err != nil {
			return err
		}
		if m.Sequence == ends[m.Partition] {
			if left--; left == 0 {
				return errEnd
			}
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// eachDecoded is eachMessage with the records decoded, or why they could not be;
// a record's memory is used again when fn has returned. The work is that of one
// goroutine at a pace that leaves room: live traffic comes first. A log that no
// running server has is read on all processors.
func (s *Service) eachDecoded(ctx context.Context, fn func(bus.Message, *eventlog.Record, error) error) error {
	var rec eventlog.Record
	var pace pace
	read := 0
	return s.eachMessage(ctx, func(m bus.Message) error {
		if read++; read%paceEvery == 0 {
			if err := pace.step(ctx); err != nil {
				return err
			}
		}
		err := eventlog.DecodeInto(&rec, m.Data)
		return fn(m, &rec, err)
	})
}

// eachRecord is eachDecoded for logs that are intact.
func (s *Service) eachRecord(ctx context.Context, fn func(*eventlog.Record) error) error {
	return s.eachDecoded(ctx, func(m bus.Message, rec *eventlog.Record, err error) error {
		if err != nil {
			return fmt.Errorf("record at sequence %d: %w", m.Sequence, err)
		}
		return fn(rec)
	})
}

// ends returns the last sequence of each partition's log, and of how many there
// is one.
func (s *Service) ends(ctx context.Context) (ends map[int]uint64, left int, err error) {
	ends = map[int]uint64{}
	for p := range s.deps.Node.Partitions {
		m, err := s.deps.Bus.LastLog(ctx, p)
		if errors.Is(err, bus.ErrNoMessage) {
			continue
		}
		if err != nil {
			return nil, 0, fmt.Errorf("end of the log of partition %d: %w", p, err)
		}
		ends[p] = m.Sequence
	}
	return ends, len(ends), nil
}

// Replay folds the log from its beginning and compares with the running store:
// first the store's digests are taken, then the log is folded up to the same
// positions.
func (s *Service) Replay(ctx context.Context, _ *connect.Request[adminv1.ReplayRequest]) (*connect.Response[adminv1.ReplayResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	resp := &adminv1.ReplayResponse{Equal: true}
	want, total, err := s.storeDigests(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	var fold eventlog.Fold
	err = s.eachRecord(ctx, func(rec *eventlog.Record) error {
		if at, ok := want[rec.Partition]; !ok || rec.Last() > at.Position || rec.Epoch > at.Epoch {
			return nil // decided since
		}
		err := fold.Apply(rec)
		if errors.Is(err, eventlog.ErrStaleEpoch) {
			return nil // the store skipped it too
		}
		resp.Events += uint64(len(rec.Entries))
		return err
	})
	if errors.Is(err, eventlog.ErrNewerVersion) {
		return nil, tooNew(err)
	}
	if err != nil {
		return nil, err
	}
	digests, err := digestsInTurn(ctx, &fold)
	if err != nil {
		return nil, err
	}
	for p, at := range want {
		if digests[p] != at.digest {
			resp.Equal, resp.Differ = false, append(resp.Differ, p)
		}
	}
	slices.Sort(resp.GetDiffer())
	folded := eventlog.Total(digests)
	resp.Threads, resp.ReplayedDigest, resp.StoreDigest = fold.Threads(), hex.EncodeToString(folded[:]), hex.EncodeToString(total[:])
	resp.Millis = time.Since(began).Milliseconds()
	return connect.NewResponse(resp), nil
}

// digestsInTurn is fold.Digests without its other goroutines, at a pace.
func digestsInTurn(ctx context.Context, fold *eventlog.Fold) (map[uint32]eventlog.Digest, error) {
	var pace pace
	digests := map[uint32]eventlog.Digest{}
	for _, p := range fold.Partitions() {
		if err := pace.step(ctx); err != nil {
			return nil, err
		}
		digests[p] = fold.Partition(p).Digest()
	}
	return digests, nil
}

// storeDigest is the digest of a partition of the store and where it stood.
type storeDigest struct {
	eventlog.Head
	digest eventlog.Digest
}

func (s *Service) storeDigests(ctx context.Context) (map[uint32]storeDigest, eventlog.Digest, error) {
	all, digests := map[uint32]storeDigest{}, map[uint32]eventlog.Digest{}
	var pace pace
	for p := range s.deps.Node.Partitions {
		if err := pace.step(ctx); err != nil {
			return nil, eventlog.Digest{}, err
		}
		part, err := s.fresh(ctx, p)
		if err != nil {
			return nil, eventlog.Digest{}, err
		}
		head, digest, err := part.DigestAt()
		if err != nil {
			return nil, eventlog.Digest{}, fmt.Errorf("digest of the store: %w", err)
		}
		if head.Epoch == 0 {
			continue
		}
		all[uint32(p)], digests[uint32(p)] = storeDigest{head, digest}, digest
	}
	return all, eventlog.Total(digests), nil
}

// ExportLog streams the raw records of the log.
func (s *Service) ExportLog(ctx context.Context, req *connect.Request[adminv1.ExportLogRequest], stream *connect.ServerStream[adminv1.ExportLogResponse]) error {
	if _, err := need(ctx, RoleViewer); err != nil {
		return err
	}
	if p := int(req.Msg.GetPartition()); p >= s.deps.Node.Partitions {
		return invalid("partition %d: there are %d, numbered from 0", p, s.deps.Node.Partitions)
	}
	return s.eachMessage(ctx, func(m bus.Message) error {
		if p := int(req.Msg.GetPartition()); p >= 0 && m.Partition != p {
			return nil
		}
		return stream.Send(&adminv1.ExportLogResponse{Partition: uint32(m.Partition), Record: m.Data})
	})
}
