package store_test

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// traffic makes records as traffic does: routed events of many threads, every
// sixteenth with a change of owner by a call.
type traffic struct {
	threads uint64
	last    eventlog.Record
	states  map[control.ThreadKey]control.State
	timers  map[control.ThreadKey]control.Millis
	seed    uint64
	calls   bool // all are changes of owner
	buf     []byte
}

func newTraffic(threads uint64) *traffic {
	return &traffic{
		threads: threads, last: eventlog.Record{First: 1, DecidedAt: 1_790_000_000_000},
		states: make(map[control.ThreadKey]control.State), timers: make(map[control.ThreadKey]control.Millis),
	}
}

func (b *traffic) random() uint64 {
	b.seed = b.seed*6364136223846793005 + 1442695040888963407
	return b.seed >> 33
}

// next makes a record of n events, with the changes that it brings. The bytes
// are valid until the next call.
func (b *traffic) next(n int) (*eventlog.Record, []byte, []store.Change) {
	r := b.last
	r.First, r.Prev, r.Claim, r.Entries = b.last.Last()+1, b.last.Hash, false, make([]eventlog.Entry, 0, n)
	r.DecidedAt += control.Millis(n) / 32
	r.Input++
	if r.Epoch == 0 {
		r.Epoch, r.Claim = 1, true
	}
	touched := make(map[control.ThreadKey]bool, n)
	for i := range n {
		thread := control.ThreadKey{Asset: 100200300400500, Person: 7000000000 + b.random()%b.threads}
		touched[thread] = true
		e := eventlog.Entry{Thread: thread, Event: b.event(&r, i)}
		r.Entries = append(r.Entries, e)
		b.states[thread] = control.Evolve(b.states[thread], e.Event)
	}
	changes := make([]store.Change, 0, n)
	for thread := range touched {
		c := store.Change{Thread: thread, State: b.states[thread], Was: b.timers[thread]}
		if c.Due = c.Was; c.Due == 0 { // armed lazily
			c.Due = control.NextDue(c.State, nil)
			b.timers[thread] = c.Due
		}
		changes = append(changes, c)
	}
	b.buf = eventlog.Append(b.buf[:0], &r)
	b.last = r
	return &r, b.buf, changes
}

func (b *traffic) event(r *eventlog.Record, i int) control.Event {
	var id [16]byte
	for j := range 4 {
		v := b.random()
		id[4*j], id[4*j+1], id[4*j+2], id[4*j+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	if i%16 == 15 || b.calls {
		return control.Passed{Change: control.Change{
			From: 700000000000001, To: 700000000000002, At: r.DecidedAt, ExpiresAt: r.DecidedAt + control.Day, Why: control.WhyCall,
			By: control.Actor{Kind: control.ActorApp, App: 700000000000001}, Print: 99, Call: control.Call{ID: id},
		}}
	}
	return control.Routed{
		Input: control.Ref{Sequence: r.Input, Index: uint32(i)}, Kind: control.KindMessage, Audience: control.ToOwner,
		Owner: 700000000000001, At: r.DecidedAt, UserAt: r.DecidedAt, ExpiresAt: r.DecidedAt + control.Day, Dedupe: id,
	}
}

// onDisk is a store on the disk, with its default sizes.
func onDisk(b *testing.B, dir string) *store.Store {
	b.Helper()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// measure starts to measure the CPU time of the process, the engine's background
// work included, and returns what reports it per unit, of which an iteration
// has n. On a shared machine it says more than the time on the wall.
func measure(b *testing.B) (report func(n int, unit string)) {
	b.Helper()
	before := cpuTime(b)
	return func(n int, unit string) {
		b.Helper()
		b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N*n), "cpu-ns/"+unit)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/"+unit)
	}
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return use.Utime.Nano() + use.Stime.Nano()
}

// BenchmarkApply is the whole path of a follower: records are made, encoded and
// applied. Making them is measured apart, as make=true.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(fmt.Sprintf("make=true/events=%d", n), func(b *testing.B) {
			source := newTraffic(100_000)
			report := measure(b)
			for b.Loop() {
				source.next(n)
			}
			report(n, "event")
		})
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			s, source := onDisk(b, b.TempDir()), newTraffic(100_000)
			defer closeStore(b, s)
			p := partition(b, s, 0)
			sequence := uint64(0)
			b.ReportAllocs()
			report := measure(b)
			for b.Loop() {
				r, raw, changes := source.next(n)
				sequence++
				if err := p.Apply(r, raw, sequence, changes); err != nil {
					b.Fatal(err)
				}
			}
			report(n, "event")
		})
	}
}

// BenchmarkApplyBeside applies records of one event to 64 partitions in turn, as a
// node does under light load, where of each partition as many come to a write as
// together says. What it costs to make them is in it.
func BenchmarkApplyBeside(b *testing.B) {
	const partitions = 64
	for _, together := range []int{1, 2, 6, 20} {
		b.Run(fmt.Sprintf("together=%d", together), func(b *testing.B) {
			s := onDisk(b, b.TempDir())
			defer closeStore(b, s)
			sources := make([]*traffic, partitions)
			for n := range sources {
				sources[n] = newTraffic(1000)
				sources[n].last.Partition, sources[n].calls = uint32(n), true
			}
			applied := uint64(0)
			report := measure(b)
			for b.Loop() {
				n := int(applied % partitions)
				r, raw, changes := sources[n].next(1)
				applied++
				if err := partition(b, s, n).Apply(r, raw, applied, changes); err != nil {
					b.Fatal(err)
				}
				if applied%uint64(partitions*together) == 0 {
					if err := s.Flush(); err != nil {
						b.Fatal(err)
					}
				}
			}
			report(1, "event")
		})
	}
}

// BenchmarkApplyAtScale applies records of three events to 64 partitions in turn,
// and then waits until the engine has nothing left to do. All threads are known
// already. What it costs to make the records is in it.
func BenchmarkApplyAtScale(b *testing.B) {
	const partitions, events, known = 64, 3, 1_500_000
	for _, threads := range []uint64{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			s := onDisk(b, b.TempDir())
			defer closeStore(b, s)
			sources := make([]*traffic, partitions)
			for n := range sources {
				sources[n] = newTraffic(threads / partitions)
				sources[n].last.Partition = uint32(n)
			}
			applied := uint64(0)
			apply := func() {
				n := int(applied % partitions)
				r, raw, changes := sources[n].next(events)
				applied++
				if err := partition(b, s, n).Apply(r, raw, applied, changes); err != nil {
					b.Fatal(err)
				}
			}
			for applied < known/events {
				apply()
			}
			calm(b, s)
			report, before := measure(b), s.Written()
			for b.Loop() {
				apply()
			}
			b.StopTimer()
			calm(b, s)
			report(events, "event")
			b.ReportMetric(float64(s.Written()-before)/float64(b.N*events), "B-written/event")
		})
	}
}

// calm waits until the engine does nothing any more.
func calm(b *testing.B, s *store.Store) {
	b.Helper()
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for still := 0; still < 50; still++ {
		if s.Compacting() {
			still = 0
		}
		<-look.C
	}
}

// loaded is a partition with records of 256 events over threads, at rest.
func loaded(b *testing.B, records int, threads uint64) (*store.Partition, *traffic) {
	b.Helper()
	dir, source := b.TempDir(), newTraffic(threads)
	s := onDisk(b, dir)
	for sequence := range uint64(records) {
		r, raw, changes := source.next(256)
		if err := partition(b, s, 0).Apply(r, raw, sequence+1, changes); err != nil {
			b.Fatal(err)
		}
	}
	closeStore(b, s)
	s = onDisk(b, dir)
	b.Cleanup(func() { closeStore(b, s) })
	for s.Compacting() {
		runtime.Gosched()
	}
	return partition(b, s, 0), source
}

func BenchmarkState(b *testing.B) {
	p, source := loaded(b, 2000, 100_000)
	b.ReportAllocs()
	report := measure(b)
	for b.Loop() {
		if _, _, err := p.State(control.ThreadKey{Asset: 100200300400500, Person: 7000000000 + source.random()%100_000}); err != nil {
			b.Fatal(err)
		}
	}
	report(1, "op")
}

// BenchmarkSeen looks up keys that are new, one by one and as many as a record
// has, and one that is known.
func BenchmarkSeen(b *testing.B) {
	p, source := loaded(b, 2000, 100_000)
	now := source.last.DecidedAt
	unknown := func() (id [16]byte) {
		for i := range id {
			id[i] = byte(source.random())
		}
		return id
	}
	b.Run("unknown", func(b *testing.B) {
		b.ReportAllocs()
		report := measure(b)
		for b.Loop() {
			if _, ok, err := p.Seen(unknown(), now); ok || err != nil {
				b.Fatal(ok, err)
			}
		}
		report(1, "op")
	})
	b.Run("unknown=256", func(b *testing.B) {
		ids := make([][16]byte, 256)
		b.ReportAllocs()
		report := measure(b)
		for b.Loop() {
			for i := range ids {
				ids[i] = unknown()
			}
			if err := p.SeenOf(ids, now, func(int, control.Millis) { b.Fatal("known") }); err != nil {
				b.Fatal(err)
			}
		}
		report(256, "op")
	})
	b.Run("known", func(b *testing.B) {
		routed, isRouted := source.last.Entries[0].Event.(control.Routed)
		report := measure(b)
		for b.Loop() {
			if _, ok, err := p.Seen(routed.Dedupe, now); !ok || !isRouted || err != nil {
				b.Fatal(ok, err)
			}
		}
		report(1, "op")
	})
}

// BenchmarkReplay reads the log from the store, decodes, verifies the chain and
// folds it.
func BenchmarkReplay(b *testing.B) {
	const records = 1000
	p, _ := loaded(b, records, 100_000)
	report := measure(b)
	for b.Loop() {
		var fold eventlog.Partition
		for stored, err := range p.Records(1) {
			if err != nil {
				b.Fatal(err)
			}
			r, err := eventlog.Decode(stored.Raw)
			if err != nil {
				b.Fatal(err)
			}
			if err := fold.Apply(&r); err != nil {
				b.Fatal(err)
			}
		}
	}
	report(256*records, "event")
}

func BenchmarkWarmUp(b *testing.B) {
	p, _ := loaded(b, 2000, 100_000)
	threads := 0
	report := measure(b)
	for b.Loop() {
		states := make(map[control.ThreadKey]control.State, 100_000)
		err := p.EachThread(func(k control.ThreadKey, s control.State) error {
			states[k] = s
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		threads = len(states)
	}
	report(threads, "thread")
}

// BenchmarkHistory looks for the newest event of a thread that has some, and of one
// that has none.
func BenchmarkHistory(b *testing.B) {
	p, source := loaded(b, 2000, 100_000)
	for name, c := range map[string]struct{ first, want uint64 }{"known": {7000000000, 1}, "unknown": {8000000000, 0}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			report := measure(b)
			for b.Loop() {
				found, err := p.History(control.ThreadKey{Asset: 100200300400500, Person: c.first + source.random()%100_000}, 0, 1)
				if uint64(len(found)) > c.want || err != nil {
					b.Fatal(found, err)
				}
			}
			report(1, "op")
		})
	}
}

func BenchmarkStateAt(b *testing.B) {
	p, source := loaded(b, 2000, 10_000) // about 51 events a thread
	b.ReportAllocs()
	report := measure(b)
	defer func() { report(1, "op") }()
	for b.Loop() {
		thread := control.ThreadKey{Asset: 100200300400500, Person: 7000000000 + source.random()%10_000}
		if _, err := p.StateAt(thread, source.last.Last()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	p, _ := loaded(b, 1000, 100_000)
	for b.Loop() {
		if _, err := p.Digest(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTimers(b *testing.B) {
	s := open(b, vfs.NewMem())
	defer closeStore(b, s)
	p := partition(b, s, 0)
	now := control.Millis(1_790_000_000_000)
	for b.Loop() { // a row comes due, and is armed again
		now++
		thread := control.ThreadKey{Asset: 1, Person: uint64(now)}
		if err := p.Rearm(store.Move{Thread: thread, Due: now}); err != nil {
			b.Fatal(err)
		}
		due, err := p.Timers(now, 100)
		if err != nil || len(due) != 1 {
			b.Fatal(due, err)
		}
		if err := p.Rearm(store.Move{Thread: thread, Was: now}); err != nil {
			b.Fatal(err)
		}
	}
}
