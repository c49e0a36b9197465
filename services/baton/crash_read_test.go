package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// records are what a stopped node has left behind.
type records struct {
	partitions int
	facts      []fact // in log order
	log        map[uint32][]*eventlog.Record
	inbound    []inboundFact
	topic      []string // ids in stream order
	snapshot   *roster.Snapshot
	digest     eventlog.Digest
	faults     []string
}

type inboundFact struct {
	dedupe [16]byte
	mid    string
}

// read reads the streams with a server of its own.
func (w *world) read() *records {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), settleIn)
	defer cancel()
	server, err := embedded.Start(embedded.Options{Dir: w.dataDir()})
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Stop()
	conn, err := bus.Dial(ctx, bus.Options{InProcess: server, User: server.User(), Password: server.Password()})
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	r := &records{partitions: crashPartitions}
	if err := r.readAll(ctx, conn); err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (r *records) readAll(ctx context.Context, conn *bus.Conn) error {
	return errors.Join(r.readLog(ctx, conn), r.readInbound(ctx, conn), r.readTopic(ctx, conn), r.readRoster(ctx, conn))
}

// readLog reads, verifies and folds the log.
func (r *records) readLog(ctx context.Context, conn *bus.Conn) error {
	var fold eventlog.Fold
	var chain eventlog.Verifier
	r.log = map[uint32][]*eventlog.Record{}
	end := func(p int) (uint64, error) {
		m, err := conn.LastLog(ctx, p)
		return m.Sequence, err
	}
	err := r.readEach(ctx, end, conn.ReadLog, func(m bus.Message) error {
		rec, err := eventlog.Decode(m.Data)
		if err != nil {
			return err
		}
		chain.Check(&rec)
		if err := fold.Apply(&rec); err != nil {
			return err
		}
		for i, e := range rec.Entries {
			r.facts = append(r.facts, fact{e, rec.Partition, rec.First + control.Position(i), rec.Group})
		}
		r.log[rec.Partition] = append(r.log[rec.Partition], &rec)
		return nil
	})
	r.faults, r.digest = chain.Faults(), fold.Digest()
	return err
}

func (r *records) readInbound(ctx context.Context, conn *bus.Conn) error {
	end := func(p int) (uint64, error) { return conn.LastInbound(ctx, p) }
	return r.readEach(ctx, end, conn.ReadInbound, func(m bus.Message) error {
		var batch inboundv1.Batch
		if err := proto.Unmarshal(m.Data, &batch); err != nil {
			return err
		}
		for _, e := range batch.GetEvents() {
			f := inboundFact{mid: e.GetMid()}
			copy(f.dedupe[:], e.GetDedupe())
			r.inbound = append(r.inbound, f)
		}
		return nil
	})
}

// readEach calls fn with each message up to the end of each partition.
func (r *records) readEach(ctx context.Context, end func(p int) (uint64, error),
	read func(context.Context, bus.ReadOptions, func(bus.Message) error) error, fn func(bus.Message) error,
) error {
	ends := map[int]uint64{}
	for p := range r.partitions {
		last, err := end(p)
		if err != nil && !errors.Is(err, bus.ErrNoMessage) {
			return err
		}
		if last > 0 {
			ends[p] = last
		}
	}
	if len(ends) == 0 {
		return nil
	}
	err := read(ctx, bus.ReadOptions{}, func(m bus.Message) error {
		last, open := ends[m.Partition]
		if !open {
			return nil
		}
		if m.Sequence == last {
			delete(ends, m.Partition)
		}
		if err := fn(m); err != nil || len(ends) > 0 {
			return err
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

var errEnough = errors.New("all read")

// readTopic reads every change on the topic: the stream holds them and one
// cursor for each partition that has one.
func (r *records) readTopic(ctx context.Context, conn *bus.Conn) error {
	uses, err := conn.StreamUse(ctx)
	if err != nil {
		return err
	}
	want := uses[slices.IndexFunc(uses, func(u bus.StreamUse) bool { return u.Name == bus.StreamControl })].Messages
	for p := range r.partitions {
		if _, _, err := conn.ControlCursor(ctx, p); err == nil {
			want--
		}
	}
	if want == 0 {
		return nil
	}
	err = conn.ReadControlAfter(ctx, 0, 0, func(_ string, m bus.Message) error {
		var change struct {
			Partition uint32 `json:"partition"`
			Position  string `json:"position"`
		}
		if err := json.Unmarshal(m.Data, &change); err != nil {
			return err
		}
		r.topic = append(r.topic, fmt.Sprintf("%d-%s", change.Partition, change.Position))
		if uint64(len(r.topic)) == want {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return fmt.Errorf("%d of %d changes: %w", len(r.topic), want, err)
}

func (r *records) readRoster(ctx context.Context, conn *bus.Conn) error {
	data, version, err := conn.Roster(ctx)
	if err != nil {
		return err
	}
	doc, err := roster.ParseDocument(data)
	if err != nil {
		return err
	}
	r.snapshot, err = roster.Compile(doc, version)
	return err
}
