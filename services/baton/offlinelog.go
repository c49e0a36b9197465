package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/store"
)

// verifyOffline checks the chains of a stopped server's store, of an export or of
// NATS servers.
func verifyOffline(ctx context.Context, o offline) (*adminv1.VerifyLogResponse, error) {
	db, err := o.open()
	if err != nil {
		return nil, err
	}
	v := new(eventlog.Verifier)
	if db != nil {
		err = errors.Join(verifyStore(ctx, db, v), db.Close())
	} else {
		err = o.each(ctx, func(rec *eventlog.Record) error {
			v.Check(rec)
			return nil
		})
	}
	if err != nil {
		var coded codedError
		if errors.As(err, &coded) || ctx.Err() != nil {
			return nil, err
		}
		v.Fault("%v", err)
	}
	return &adminv1.VerifyLogResponse{
		Ok: len(v.Faults()) == 0, Records: v.Records(), Events: v.Events(),
		Partitions: uint32(len(v.Partitions())), Faults: v.Faults(),
	}, nil
}

// verifyStore has v check the logs of a store, side by side. The error is the
// first one in the order of partitions, and v has checked what is before it.
func verifyStore(ctx context.Context, db *store.Store, v *eventlog.Verifier) error {
	partitions, err := db.Partitions()
	if err != nil {
		return err
	}
	parts, err := eventlog.EachOf(partitions, func(p int) (*eventlog.Verifier, error) {
		mine := new(eventlog.Verifier)
		return mine, eachStored(ctx, db, p, func(rec *eventlog.Record) error {
			mine.Check(rec)
			return nil
		})
	})
	for _, part := range parts {
		v.Add(part)
	}
	return err
}

// eachStored calls fn with every record of a partition of a stopped server's
// store, whose memory is used again then.
func eachStored(ctx context.Context, db *store.Store, p int, fn func(*eventlog.Record) error) error {
	part, err := db.Partition(p)
	if err != nil {
		return err
	}
	var rec eventlog.Record
	for stored, err := range part.Records(1) {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		at := place{partition: p, position: stored.First}
		if err = eventlog.DecodeInto(&rec, stored.Raw); err == nil && rec.Partition != uint32(p) {
			err = fmt.Errorf("%w: it is of partition %d", eventlog.ErrDamaged, rec.Partition)
		}
		if err == nil {
			err = fn(&rec)
		}
		if err = at.fault(err); err != nil {
			return err
		}
	}
	return nil
}

// replayOffline folds a log without a server. Of a stopped server's store the
// digest is compared with that of the fold; any other log stands alone.
func replayOffline(ctx context.Context, o offline) (resp *adminv1.ReplayResponse, err error) {
	began := time.Now()
	db, err := o.open()
	if err != nil {
		return nil, err
	}
	if db != nil {
		defer func() { err = errors.Join(err, db.Close()) }()
		resp, err = replayStore(ctx, db)
	} else {
		resp, err = o.replay(ctx)
	}
	if err != nil {
		return nil, err
	}
	resp.Millis = time.Since(began).Milliseconds()
	return resp, nil
}

// replay folds the log of NATS servers or of a file.
func (o offline) replay(ctx context.Context) (*adminv1.ReplayResponse, error) {
	var fold eventlog.Fold
	resp := &adminv1.ReplayResponse{Equal: true}
	err := o.each(ctx, func(rec *eventlog.Record) error {
		resp.Events += uint64(len(rec.Entries))
		return fold.Apply(rec)
	})
	if err != nil {
		return nil, err
	}
	resp.Threads = fold.Threads()
	digest := fold.Digest()
	resp.ReplayedDigest = hex.EncodeToString(digest[:])
	return resp, nil
}

// replayed is a partition of a store, folded and as it stands.
type replayed struct {
	begun, stands   bool // it has a record; the store has applied one
	events, threads uint64
	folded, stored  eventlog.Digest
}

// replayStore folds the logs of a store, side by side, each compared with what the
// store has made of it.
func replayStore(ctx context.Context, db *store.Store) (*adminv1.ReplayResponse, error) {
	partitions, err := db.Partitions()
	if err != nil {
		return nil, err
	}
	parts, err := eventlog.EachOf(partitions, func(p int) (replayed, error) { return replayPartition(ctx, db, p) })
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ReplayResponse{}
	folded, stored := map[uint32]eventlog.Digest{}, map[uint32]eventlog.Digest{}
	for i, r := range parts {
		resp.Events += r.events
		resp.Threads += r.threads
		if r.begun {
			folded[uint32(partitions[i])] = r.folded
		}
		if r.stands {
			stored[uint32(partitions[i])] = r.stored
		}
	}
	replayed, kept := eventlog.Total(folded), eventlog.Total(stored)
	resp.ReplayedDigest, resp.StoreDigest = hex.EncodeToString(replayed[:]), hex.EncodeToString(kept[:])
	resp.Equal = replayed == kept
	return resp, nil
}

func replayPartition(ctx context.Context, db *store.Store, p int) (r replayed, err error) {
	var fold eventlog.Partition
	err = eachStored(ctx, db, p, func(rec *eventlog.Record) error {
		r.begun = true
		r.events += uint64(len(rec.Entries))
		return fold.Apply(rec)
	})
	if err != nil {
		return r, err
	}
	r.threads, r.folded = fold.ThreadCount(), fold.Digest()
	part, err := db.Partition(p)
	if err != nil {
		return r, err
	}
	r.stands = part.Applied().Sequence > 0
	r.stored, err = part.Digest()
	return r, err
}
