package store_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// threads are those of the records.
func threads(all []published) (found []control.ThreadKey) {
	known := map[control.ThreadKey]bool{}
	for _, m := range all {
		for i := range m.record.Entries {
			if thread := m.record.Entries[i].Thread; !known[thread] {
				known[thread] = true
				found = append(found, thread)
			}
		}
	}
	return found
}

// reader reads in partition p of s, and returns what it has read.
type reader func(t *testing.T, s *store.Store, p *store.Partition) (any, error)

// readers are all ways to read partition 0 of a store that has applied some of
// the records.
func readers(all []published) map[string]reader {
	last, kept := all[len(all)-1].record, newSide()
	for _, m := range all {
		eventlog.Project(m.record, kept)
	}
	every := func(read func(p *store.Partition, thread control.ThreadKey) (any, error)) reader {
		return func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			found := map[control.ThreadKey]any{}
			for _, thread := range threads(all) {
				v, err := read(p, thread)
				if err != nil {
					return nil, err
				}
				found[thread] = v
			}
			return found, nil
		}
	}
	byKey := func(read func(p *store.Partition, id [16]byte) (any, bool, error)) reader {
		return func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			found := map[[16]byte]any{}
			for i := range 24 {
				id := [16]byte{15: byte(i)}
				v, ok, err := read(p, id)
				if err != nil {
					return nil, err
				}
				if ok {
					found[id] = v
				}
			}
			return found, nil
		}
	}
	return map[string]reader{
		"Event": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			_, r, err := p.Event(p.Applied().Position)
			if err != nil {
				return nil, err
			}
			return r.Hash, nil
		},
		"LastRecord": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			sequence, hash, err := p.LastRecord()
			return []any{sequence, hash}, err
		},
		"Records": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			var raws []string
			for stored, err := range p.Records(1) {
				if err != nil {
					return nil, err
				}
				raws = append(raws, string(stored.Raw))
			}
			return raws, nil
		},
		"Answer": byKey(func(p *store.Partition, id [16]byte) (any, bool, error) {
			a, ok, err := p.Answer(id, p.Applied().DecidedAt)
			return a, ok, err
		}),
		"Seen": byKey(func(p *store.Partition, id [16]byte) (any, bool, error) {
			at, ok, err := p.Seen(id, p.Applied().DecidedAt)
			return at, ok, err
		}),
		"Button": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			found := map[button]control.AppID{}
			for b := range kept.buttons {
				app, _, err := p.Button(b.thread, b.payload)
				if err != nil {
					return nil, err
				}
				found[b] = app
			}
			return found, nil
		},
		"Send": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			found := map[string]control.Position{}
			for mid := range kept.mids {
				at, _, err := p.Send(mid)
				if err != nil {
					return nil, err
				}
				found[mid] = at
			}
			return found, nil
		},
		"Timers": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			return p.Timers(last.DecidedAt+100*control.Day, 0)
		},
		"State": every(func(p *store.Partition, thread control.ThreadKey) (any, error) {
			state, _, err := p.State(thread)
			return state, err
		}),
		"EachThread": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			found := map[control.ThreadKey]control.State{}
			return found, p.EachThread(func(thread control.ThreadKey, state control.State) error {
				found[thread] = state
				return nil
			})
		},
		"History": every(func(p *store.Partition, thread control.ThreadKey) (any, error) {
			return p.History(thread, 0, 100)
		}),
		"StateAt": every(func(p *store.Partition, thread control.ThreadKey) (any, error) {
			return p.StateAt(thread, p.Applied().Position)
		}),
		"StateAtTime": every(func(p *store.Partition, thread control.ThreadKey) (any, error) {
			return p.StateAtTime(thread, p.Applied().DecidedAt)
		}),
		"DigestAt": func(_ *testing.T, _ *store.Store, p *store.Partition) (any, error) {
			head, digest, err := p.DigestAt()
			return []any{head, digest}, err
		},
		"Store.Digest": func(_ *testing.T, s *store.Store, _ *store.Partition) (any, error) { return s.Digest(1) },
		"Partitions":   func(_ *testing.T, s *store.Store, _ *store.Partition) (any, error) { return s.Partitions() },
		"Checkpoint": func(t *testing.T, s *store.Store, _ *store.Partition) (any, error) {
			t.Helper()
			c, err := s.Checkpoint(t.Context(), "copy", store.Origin{BatonID: last.BatonID, Partitions: 1})
			if err != nil {
				return nil, err
			}
			return c.Manifest.Heads, c.Remove()
		},
	}
}

// TestReadersSeeWhatIsApplied: whoever reads finds what was applied just now,
// although its rows are not written, as in a store that has them all in their
// tables.
func TestReadersSeeWhatIsApplied(t *testing.T) {
	t.Parallel()
	all := stream(rand.New(rand.NewPCG(1, 4)), 1, 30)
	for name, read := range readers(all) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // no time passes by itself
				pending, written := open(t, storetest.NewDisk().FS()), open(t, storetest.NewDisk().FS())
				defer closeStore(t, pending)
				defer closeStore(t, written)
				none, _ := read(t, pending, partition(t, pending, 0))
				armed := [2]map[control.ThreadKey]control.Millis{{}, {}}
				var want any
				for _, m := range all {
					applyWithTimers(t, partition(t, pending, 0), m, armed[0])
					applyWithTimers(t, partition(t, written, 0), m, armed[1])
					settle(t, partition(t, written, 0))
					if partition(t, pending, 0).Pending() == 0 {
						t.Fatal("all is written")
					}
					want = compareRead(t, read, pending, written, m.record)
				}
				if cmp.Equal(none, want) {
					t.Error("there is nothing to read")
				}
			})
		})
	}
}

// compareRead compares what is read in both stores, and returns it. There may be
// no such position in either.
func compareRead(t *testing.T, read reader, pending, written *store.Store, last *eventlog.Record) any {
	t.Helper()
	got, err := read(t, pending, partition(t, pending, 0))
	want, err2 := read(t, written, partition(t, written, 0))
	if err2 == nil && err != nil || err2 != nil && !errors.Is(err2, store.ErrNoPosition) {
		t.Fatal(last.First, err, err2)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(last.First, diff)
	}
	return want
}

// applyWithTimers applies a record, and arms a timer of each thread that it
// touches.
func applyWithTimers(t fatal, p *store.Partition, m published, armed map[control.ThreadKey]control.Millis) {
	t.Helper()
	touched := changes(t, p, m.record)
	for i := range touched {
		c := &touched[i]
		c.Was, c.Due = armed[c.Thread], m.record.DecidedAt+control.Hour
		armed[c.Thread] = c.Due
	}
	if err := p.Apply(m.record, m.raw, m.sequence, touched); err != nil {
		t.Fatal(err)
	}
}

// TestRowsAreWrittenSoon: nobody reads, and the rows are written in time, and
// before they are many.
func TestRowsAreWrittenSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, source := open(t, storetest.NewDisk().FS()), newTraffic(50)
		defer closeStore(t, s)
		p, most := partition(t, s, 0), 0
		for sequence := range uint64(1000) {
			r, raw, changes := source.next(1)
			if err := p.Apply(r, raw, sequence+1, changes); err != nil {
				t.Fatal(err)
			}
			most = max(most, p.Pending())
		}
		if most < store.WriteBytes/2 || most > store.WriteBytes+4096 {
			t.Errorf("%d bytes were pending", most)
		}
		for range 3 {
			if err := p.Rearm(store.Move{Due: 5}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(store.WriteWithin - time.Millisecond)
			if p.Pending() == 0 {
				t.Error("written before the time")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if n := p.Pending(); n != 0 {
				t.Errorf("%d bytes are pending after the time", n)
			}
		}
	})
}

// TestCloseAndSyncWrite: what was applied is there after Close, and after Sync
// and a power cut.
func TestCloseAndSyncWrite(t *testing.T) {
	t.Parallel()
	all := stream(rand.New(rand.NewPCG(2, 2)), 2, 30)
	synctest.Test(t, func(t *testing.T) {
		disk := storetest.NewDisk()
		s := open(t, disk.FS())
		for _, m := range all[:20] {
			apply(t, partition(t, s, int(m.record.Partition)), m.record, m.raw, m.sequence)
		}
		if err := s.Sync(); err != nil {
			t.Fatal(err)
		}
		compareStands(t, disk.CutPower(0, 1), s)
		for _, m := range all[20:] {
			apply(t, partition(t, s, int(m.record.Partition)), m.record, m.raw, m.sequence)
		}
		closeStore(t, s)
		compareStands(t, disk, s)
	})
}

// compareStands compares the store that a disk has with one that is open, or
// was.
func compareStands(t *testing.T, disk *storetest.Disk, want *store.Store) {
	t.Helper()
	s := open(t, disk.FS())
	defer closeStore(t, s)
	for n := range 2 {
		got, want := partition(t, s, n).Applied(), partition(t, want, n).Applied()
		if got != want || want.Sequence == 0 {
			t.Errorf("partition %d: %+v, want %+v", n, got, want)
		}
	}
}

// TestAFailedWriteEndsThePartition: all that needs the rows says why it has not
// got them, and nothing is applied on top, until the partition is wiped.
func TestAFailedWriteEndsThePartition(t *testing.T) {
	t.Parallel()
	all := stream(rand.New(rand.NewPCG(3, 5)), 1, 60)
	s := opened(t)
	p := partition(t, s, 0)
	for _, m := range all[:59] {
		apply(t, p, m.record, m.raw, m.sequence)
	}
	stood, last := p.Applied(), all[59]
	touched := changes(t, p, last.record)
	p.Spoil(io.ErrShortWrite)
	if _, _, err := p.LastRecord(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("LastRecord: %v", err)
	}
	for range 2 {
		for name, err := range map[string]error{
			"Apply": p.Apply(last.record, last.raw, last.sequence, touched),
			"Skip":  p.Skip(last.sequence + 1),
			"Rearm": p.Rearm(store.Move{Due: 1}),
			"Sync":  s.Sync(),
		} {
			if !errors.Is(err, io.ErrShortWrite) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, read := range readers(all) {
			switch name {
			case "State", "Seen", "History": // of late rows, which are in memory
			default:
				if _, err := read(t, s, p); !errors.Is(err, io.ErrShortWrite) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if p.Applied() != stood {
		t.Errorf("stands at %+v, stood at %+v", p.Applied(), stood)
	}
	if err := p.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		apply(t, p, m.record, m.raw, m.sequence)
	}
	if sequence, _, err := p.LastRecord(); sequence != last.sequence || err != nil {
		t.Error(sequence, err)
	}
}

// TestCloseSaysThatAWriteFailed: the last rows have no reader to tell it to.
func TestCloseSaysThatAWriteFailed(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.NewDisk().FS())
	p := partition(t, s, 0)
	r, raw := eventlogtest.NewHistory(rand.New(rand.NewPCG(1, 1)), 0).Next()
	apply(t, p, r, raw, 1)
	p.Spoil(io.ErrShortWrite)
	if err := s.Close(); !errors.Is(err, io.ErrShortWrite) {
		t.Error(err)
	}
}
