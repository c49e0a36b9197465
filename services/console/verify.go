package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/store"
)

// VerifyLog checks the hash chain of every partition and compares each record
// with the store's.
func (s *Service) VerifyLog(ctx context.Context, _ *connect.Request[adminv1.VerifyLogRequest]) (*connect.Response[adminv1.VerifyLogResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	v := verification{s: s, stored: map[int]*storedLog{}}
	defer v.close()
	if err := s.eachDecoded(ctx, func(m bus.Message, rec *eventlog.Record, err error) error { return v.check(ctx, m, rec, err) }); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, eventlog.ErrNewerVersion) {
			return nil, tooNew(err)
		}
		v.Fault("%v", err)
	}
	return connect.NewResponse(verdictOf(&v.Verifier)), nil
}

// tooNew says that a log is not damaged, but not for this build either.
func tooNew(err error) error {
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%w; nothing is known about the log from there on: use the Baton that wrote it, or a newer one", err))
}

// verification compares the log with the store, record by record.
type verification struct {
	eventlog.Verifier
	s      *Service
	stored map[int]*storedLog
}

// storedLog is the log of a partition as the store has it, read along.
type storedLog struct {
	next func() (store.Stored, error, bool)
	stop func()
	// done: the store has already been found to differ or to end.
	done bool
}

func (v *verification) close() {
	for _, l := range v.stored {
		l.stop()
	}
}

// check verifies a message of the log, decoded as rec or not, by its
// fault. A record that cannot be read ends the verification of its partition, not
// of the others; one of a newer version ends it all.
func (v *verification) check(ctx context.Context, m bus.Message, rec *eventlog.Record, fault error) error {
	l := v.stored[m.Partition]
	if l == nil {
		if err := v.s.applied(ctx, m.Partition); err != nil {
			return err
		}
		next, stop := iter.Pull2(v.s.part(m.Partition).Records(1))
		l = &storedLog{next: next, stop: stop}
		v.stored[m.Partition] = l
	}
	if errors.Is(fault, eventlog.ErrNewerVersion) {
		return fmt.Errorf("record at sequence %d: %w", m.Sequence, fault)
	}
	if fault != nil {
		v.Fault("partition %d, record at sequence %d: %v", m.Partition, m.Sequence, fault)
	} else {
		skipped := len(v.Chain.Skipped())
		if v.Check(rec); len(v.Chain.Skipped()) > skipped {
			return nil // the store passed it over
		}
	}
	if !l.done {
		l.done = !v.compare(l, m)
	}
	return nil
}

// compare reports whether the store's next record is the message.
func (v *verification) compare(l *storedLog, m bus.Message) bool {
	stored, err, ok := l.next()
	switch {
	case !ok:
		v.Fault("partition %d: the store ends before the record at sequence %d", m.Partition, m.Sequence)
	case err != nil:
		v.Fault("partition %d: the store: %v", m.Partition, err)
	case stored.Sequence != m.Sequence:
		v.Fault("partition %d: the store has the record of sequence %d where the log has that of %d", m.Partition, stored.Sequence, m.Sequence)
	case !bytes.Equal(stored.Raw, m.Data):
		v.Fault("partition %d: the store's record at sequence %d differs from the log's", m.Partition, m.Sequence)
	default:
		return true
	}
	return false
}

// Waits for the store to apply what the log has acknowledged.
const (
	appliedWithin = 2 * time.Second
	appliedPoll   = 5 * time.Millisecond
)

// applied waits, for a moment, until the store has applied the end of a
// partition's log: a record is in the log a little before.
func (s *Service) applied(ctx context.Context, p int) error {
	last, err := s.deps.Bus.LastLog(ctx, p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, appliedWithin)
	defer cancel()
	tick := time.NewTicker(appliedPoll)
	defer tick.Stop()
	for s.part(p).Applied().Sequence < last.Sequence {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// verdictOf is the answer of a Verifier.
func verdictOf(v *eventlog.Verifier) *adminv1.VerifyLogResponse {
	return &adminv1.VerifyLogResponse{
		Ok: len(v.Faults()) == 0, Records: v.Records(), Events: v.Events(),
		Partitions: uint32(len(v.Partitions())), Faults: v.Faults(),
	}
}
