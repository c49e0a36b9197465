package ownership

import (
	"encoding/binary"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store"
)

// figureThreads is how many threads BenchmarkFigureLoad loads. The figures in
// the changelog are of one and ten million: -threads 10000000 -benchtime 1x
// -timeout 0.
var figureThreads = flag.Int("threads", 100_000, "threads that are loaded")

// BenchmarkFigureLoad measures what a start takes until all threads of 64
// partitions are in memory, and what memory they take: of the process, not of
// the heap, after what the start has left behind is given back.
func BenchmarkFigureLoad(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "store")
	w := newLoadWorld(b, dir)
	w.fill(b, *figureThreads)
	w.close(b)
	for b.Loop() {
		debug.FreeOSMemory()
		before, cpu, began := residentBytes(b), cpuTime(b), time.Now()
		w := newLoadWorld(b, dir)
		if n := w.load(b); n != *figureThreads {
			b.Fatalf("%d threads of %d", n, *figureThreads)
		}
		b.ReportMetric(time.Since(began).Seconds(), "load-s")
		b.ReportMetric((cpuTime(b) - cpu).Seconds(), "load-cpu-s")
		debug.FreeOSMemory()
		b.ReportMetric((residentBytes(b)-before)/float64(*figureThreads), "B/thread")
		runtime.KeepAlive(w.svc)
		w.close(b)
	}
}

// loadWorld is a node with a store and nothing else.
type loadWorld struct {
	store *store.Store
	svc   *Service
}

func newLoadWorld(b *testing.B, dir string) *loadWorld {
	b.Helper()
	db, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	svc, err := New(Config{Partitions: 64, Holder: "figure"}, Deps{Store: db, Clock: newFakeClock(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	return &loadWorld{db, svc}
}

func (w *loadWorld) close(b *testing.B) {
	b.Helper()
	if err := w.store.Close(); err != nil {
		b.Fatal(err)
	}
}

// fill applies records of 1,024 events, each of another thread.
func (w *loadWorld) fill(b *testing.B, threads int) {
	b.Helper()
	keys := make([][]control.ThreadKey, len(w.svc.holders))
	for n := range threads {
		key := control.ThreadKey{Asset: pageID, Person: firstPerson + uint64(n)*0x9e3779b97f4a7c15>>1}
		p := partition.Of(key, len(keys))
		keys[p] = append(keys[p], key)
	}
	for p, h := range w.svc.holders {
		r := eventlog.Record{Partition: uint32(p), First: 1, Epoch: 1, Claim: true, DecidedAt: 1_790_000_000_000}
		for sequence := uint64(1); len(keys[p]) > 0; sequence++ {
			n := min(len(keys[p]), 1024)
			if sequence > 1 {
				r.First, r.Prev, r.Claim = r.Last()+1, r.Hash, false
			}
			r.DecidedAt += control.Second
			r.Entries = firstWords(keys[p][:n], r.DecidedAt)
			raw := eventlog.Encode(&r)
			if err := h.replay(b.Context(), bus.Message{Partition: p, Sequence: sequence, Data: raw}); err != nil {
				b.Fatal(err)
			}
			keys[p] = keys[p][n:]
		}
	}
}

// firstWords are the events of people who write for the first time.
func firstWords(keys []control.ThreadKey, at control.Millis) []eventlog.Entry {
	entries := make([]eventlog.Entry, len(keys))
	for i, key := range keys {
		var id [16]byte
		binary.BigEndian.PutUint64(id[:], key.Person*0x9e3779b97f4a7c15)
		entries[i] = eventlog.Entry{Thread: key, Event: control.Passed{Change: control.Change{
			To: bot, At: at, ExpiresAt: at + control.Day, Why: control.WhyCall,
			By: control.Actor{Kind: control.ActorApp, App: bot}, Call: control.Call{ID: id},
		}}}
	}
	return entries
}

// load loads all partitions, on all processors, and counts their threads.
func (w *loadWorld) load(b *testing.B) (n int) {
	b.Helper()
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, h := range w.svc.holders {
		g.Go(h.load)
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	for _, h := range w.svc.holders {
		n += h.threads.len()
	}
	return n
}

// residentBytes is the memory of this process that is not of files.
func residentBytes(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("this is not Linux")
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib * 1024
		}
	}
	b.Skip("no RssAnon")
	return 0
}
