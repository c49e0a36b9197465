package ownership

import (
	"encoding/binary"
	"flag"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store"
)

// figureEvents is how long the log of BenchmarkFigureColdStart is. The figure in
// the changelog is of 10 million: -events 10000000 -benchtime 1x -timeout 0.
var figureEvents = flag.Int("events", 200_000, "events in the log of the cold start")

// figureTail is how many of them come after the snapshot.
const figureTail = 500_000

// BenchmarkFigureColdStart measures how long a node without a store takes until
// it has all that the log has: from a snapshot and the tail behind it, and by
// replay alone. The log is one of group records of 1,024 events in 64
// partitions, with as many threads as a tenth of its events.
func BenchmarkFigureColdStart(b *testing.B) {
	w := newFigureWorld(b, 64)
	tail := min(figureTail, *figureEvents/20)
	w.fill(b, *figureEvents-tail)
	replayed := w.node(b, b.TempDir())
	cpu := cpuTime(b)
	took := replayed.follow(b)
	cpu = cpuTime(b) - cpu
	began := time.Now()
	if err := replayed.svc.TakeSnapshot(b.Context()); err != nil {
		b.Fatal(err)
	}
	snapshot, size := time.Since(began), replayed.svc.SnapshotStatus().Bytes
	w.fill(b, tail)
	replayed.follow(b)
	want, err := replayed.store.Digest(w.partitions)
	if err != nil {
		b.Fatal(err)
	}
	replayed.close(b)
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "store")
		began, cpu := time.Now(), cpuTime(b)
		if taken, err := w.coldStart(dir).Run(b.Context()); err != nil || !taken {
			b.Fatal(taken, err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "fetch-s")
		n := w.node(b, dir)
		n.follow(b)
		b.ReportMetric(time.Since(began).Seconds(), "cold-start-s")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cold-start-cpu-s")
		if got, err := n.store.Digest(w.partitions); err != nil || got != want {
			b.Errorf("the digest is %x (%v), that of a replay %x", got, err, want)
		}
		n.close(b)
	}
	b.ReportMetric(took.Seconds(), "replay-s")
	b.ReportMetric(cpu.Seconds(), "replay-cpu-s")
	b.ReportMetric(snapshot.Seconds(), "snapshot-s")
	b.ReportMetric(float64(size)/(1<<20), "MiB")
}

// figureWorld is a log that no holder wrote.
type figureWorld struct {
	conn       *bus.Conn
	of         store.Origin
	partitions int
	threads    [][]control.ThreadKey // of each partition
	heads      []eventlog.Record     // the last record of each
	sequences  []uint64
	random     uint64
}

func newFigureWorld(b *testing.B, partitions int) *figureWorld {
	b.Helper()
	server, err := embedded.Start(embedded.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(server.Stop)
	conn, err := bus.Dial(b.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	id, err := conn.EnsureStreams(b.Context(), bus.Config{Partitions: partitions, Replicas: 1})
	if err != nil {
		b.Fatal(err)
	}
	w := &figureWorld{
		conn: conn, of: store.Origin{BatonID: id.BatonID, Partitions: partitions}, partitions: partitions,
		threads: make([][]control.ThreadKey, partitions), heads: make([]eventlog.Record, partitions), sequences: make([]uint64, partitions),
	}
	for person := range uint64(max(*figureEvents/10, 10*partitions)) {
		thread := control.ThreadKey{Asset: pageID, Person: firstPerson + person}
		p := partition.Of(thread, partitions)
		w.threads[p] = append(w.threads[p], thread)
	}
	for p := range w.heads {
		w.heads[p] = eventlog.Record{Partition: uint32(p), First: 1, Epoch: 1, Claim: true, DecidedAt: 1_790_000_000_000, BatonID: id.BatonID}
	}
	return w
}

// fill appends records with so many events to the log.
func (w *figureWorld) fill(b *testing.B, events int) {
	b.Helper()
	for n := 0; events > 0; n++ {
		p := n % w.partitions
		r := w.next(p, min(events, 1024))
		sequence, err := w.conn.AppendLog(b.Context(), p, eventlog.Encode(&r), w.sequences[p])
		if err != nil {
			b.Fatal(err)
		}
		w.heads[p], w.sequences[p], events = r, sequence, events-len(r.Entries)
	}
}

// next is a record as traffic makes them: people write, and one event in sixteen
// passes a thread on.
func (w *figureWorld) next(p, events int) eventlog.Record {
	r := w.heads[p]
	if w.sequences[p] > 0 {
		r.First, r.Prev, r.Claim = r.Last()+1, r.Hash, false
	}
	r.DecidedAt += control.Millis(events)
	r.Entries = make([]eventlog.Entry, events)
	for i := range r.Entries {
		w.random = w.random*6364136223846793005 + 1442695040888963407
		var id [16]byte
		binary.BigEndian.PutUint64(id[:], w.random)
		id[15] = byte(p)
		e := &r.Entries[i]
		e.Thread = w.threads[p][w.random>>20%uint64(len(w.threads[p]))]
		if i%16 == 15 {
			e.Event = control.Passed{Change: control.Change{
				From: bot, To: agent, At: r.DecidedAt, ExpiresAt: r.DecidedAt + control.Day, Why: control.WhyCall,
				By: control.Actor{Kind: control.ActorApp, App: bot}, Call: control.Call{ID: id},
			}}
			continue
		}
		e.Event = control.Routed{
			Input: control.Ref{Index: uint32(i)}, Kind: control.KindMessage, Audience: control.ToOwner, Owner: bot,
			At: r.DecidedAt, UserAt: r.DecidedAt, ExpiresAt: r.DecidedAt + control.Day, Dedupe: id,
		}
	}
	return r
}

func (w *figureWorld) coldStart(dir string) ColdStart {
	return ColdStart{Snapshots: w.conn, Log: w.conn, Store: store.Options{Dir: dir}, Of: w.of, Logger: slog.New(slog.DiscardHandler)}
}

// figureNode is a node that stands by.
type figureNode struct {
	w     *figureWorld
	store *store.Store
	svc   *Service
}

func (w *figureWorld) node(b *testing.B, dir string) *figureNode {
	b.Helper()
	db, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	svc, err := New(Config{
		Partitions: w.partitions, Standby: true, Holder: "figure", BatonID: w.of.BatonID,
		Snapshots: SnapshotRule{Dir: filepath.Join(b.TempDir(), "checkpoint"), BytesPerSecond: 1 << 40},
	}, Deps{Log: w.conn, Input: w.conn, Store: db, Snapshots: w.conn, Clock: newFakeClock(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return &figureNode{w: w, store: db, svc: svc}
}

// follow stands by until the store has all that the log has, with its threads in
// memory, and returns how long that took.
func (n *figureNode) follow(b *testing.B) time.Duration {
	b.Helper()
	began := time.Now()
	for _, h := range n.svc.holders {
		if err := h.load(); err != nil {
			b.Fatal(err)
		}
	}
	last := uint64(0)
	for _, s := range n.w.sequences {
		last = max(last, s)
	}
	after, _, err := n.svc.standbyStart(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for after < last {
		err = n.w.conn.ReadLog(b.Context(), bus.ReadOptions{After: after}, func(m bus.Message) error {
			if err := n.svc.holders[m.Partition].follow(b.Context(), m); err != nil {
				return err
			}
			if after = m.Sequence; after == last {
				return errTailRead
			}
			return nil
		})
		if err != errTailRead { //nolint:errorlint // the very value
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

func (n *figureNode) close(b *testing.B) {
	b.Helper()
	if err := n.store.Close(); err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what the process has used, the server in it included. On a shared
// machine it says more than the time on the wall.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
