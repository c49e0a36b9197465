package ownership

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Who is who in the tests.
const (
	pageID   uint64        = 100200300400500
	bot      control.AppID = 700000000000001 // primary
	agent    control.AppID = 700000000000002
	survey   control.AppID = 700000000000003
	batonApp control.AppID = 700000000009999

	partitions = 4
)

// world is a role over a real server, a real store and real rosters. Its clock
// stands still until a test moves it.
type world struct {
	t         *testing.T
	server    *embedded.Server
	conn      *bus.Conn
	identity  bus.Identity
	dir       string
	cache     int64 // of the store, in bytes
	cfg       Config
	rosters   *rosters
	clock     *clock
	platform  *recorder
	snapshots Snapshots // nil for the connection's
	log       *faultyLog
	input     *faultyInput
	control   *faultyTopic
	topic     *collector
	pulse     pulse
	seen      seen

	store *store.Store
	began [partitions]store.Applied // where the store stood at the start
	svc   *Service
	// replayed is how many records the last claim had to replay.
	replayed atomic.Int64
	running  bool
	stop     func()
	ids      uint64
}

// newWorld makes a world whose role does not run yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := bus.Dial(t.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	w := worldOn(t, conn)
	w.server = server
	// What this connection has written it hands on with the time when it heard of
	// that: nothing to compare a stream with. No node among several has such a one.
	w.cfg.AuditEvery = time.Hour
	return w
}

// worldOn is newWorld with a connection of the test's own.
func worldOn(t *testing.T, conn *bus.Conn) *world {
	t.Helper()
	// One partition more than the role holds: the collector's own.
	identity, err := conn.EnsureStreams(t.Context(), bus.Config{Partitions: partitions + 1, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, conn: conn, identity: identity, dir: t.TempDir(), cache: 1 << 20, rosters: newRosters(t, connectAll),
		clock: newFakeClock(), input: &faultyInput{Input: conn},
	}
	w.pulse.ch = make(chan struct{})
	w.log = &faultyLog{Log: conn, stamps: &stamps{clock: w.clock}}
	w.control = &faultyTopic{Topic: conn, log: w.log}
	born := w.clock.Now() // the clock stands still, that of the stream does not
	w.input.at = func(at time.Time) time.Time {
		if at.Before(born.Add(10 * time.Minute)) {
			return born
		}
		return at
	}
	w.platform = newRecorder(&w.pulse)
	w.cfg = Config{Partitions: partitions, Holder: "test", BatonID: identity.BatonID}
	w.topic = collect(t, conn, &w.pulse)
	return w
}

// started is a world whose role holds all partitions.
func started(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	w := newWorld(t)
	for _, c := range change {
		c(w)
	}
	w.start()
	w.held()
	return w
}

// start starts the role on the store in the world's directory.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.store, err = store.Open(store.Options{Dir: w.dir, CacheBytes: w.cache, MemTableBytes: 1 << 20}); err != nil {
		w.t.Fatal(err)
	}
	if w.snapshots == nil {
		w.snapshots = w.conn
	}
	w.svc, err = New(w.cfg, Deps{
		Log: w.log, Input: w.input, Commands: w.conn, Topic: w.control, Store: w.store, Snapshots: w.snapshots, Rosters: w.rosters, Clock: w.clock,
		Platform: w.platform, Observe: w.observer(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for p, h := range w.svc.holders {
		w.began[p] = h.part.Applied()
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	for p := range w.cfg.Partitions {
		w.svc.Hold(p)
	}
	w.running = true
	w.stop = func() {
		if !w.running {
			return
		}
		w.running = false
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("the role ended with %v", err)
		}
		if err := w.store.Close(); err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(w.stop)
}

// observer is what the tests see of the role.
func (w *world) observer() Observer {
	o := w.seen.observer(&w.pulse)
	o.Claimed = func(_, replayed int) { w.replayed.Store(int64(replayed)) }
	return o
}

// restart stops the role and starts it again, as a new process would.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
	w.held()
}

// held waits until every partition is held and has logged the roster.
func (w *world) held() {
	w.t.Helper()
	w.until("every partition is held", func() bool {
		for _, st := range w.svc.Statuses() {
			if !st.Held {
				return false
			}
		}
		return len(w.svc.RosterApplied(w.rosters.Current().Version())) == 0
	})
}

// until waits for a condition; it is looked at whenever something happens, and
// now and then for what nobody tells of.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		beat := w.pulse.next()
		if ok() {
			return
		}
		select {
		case <-beat:
		case <-look.C:
		case <-deadline.C:
			w.t.Fatalf("waited in vain until %s; partitions: %+v", what, w.svc.Statuses())
		}
	}
}

// person is the nth person whose thread with the test's page is in partition p.
func person(p, n int) uint64 {
	people.Lock()
	defer people.Unlock()
	for ; len(people.of[p]) <= n; people.asked++ {
		at := partition.Of(thread(firstPerson+people.asked), partitions)
		people.of[at] = append(people.of[at], firstPerson+people.asked)
	}
	return people.of[p][n]
}

const firstPerson = 9001

// people are the persons found so far, by partition.
var people struct {
	sync.Mutex
	of    [partitions][]uint64
	asked uint64
}

func thread(person uint64) control.ThreadKey { return control.ThreadKey{Asset: pageID, Person: person} }

// message is a text by a person, at the world's time.
func (w *world) message(person uint64) *inboundv1.Event {
	w.ids++
	dedupe := make([]byte, 16)
	copy(dedupe, fmt.Sprintf("event %d", w.ids))
	return &inboundv1.Event{
		Asset: pageID, Person: person, Kind: uint32(control.KindMessage), TimestampMs: int64(w.clock.millis()), Dedupe: dedupe,
		Mid: fmt.Sprintf("m_%d", w.ids),
	}
}

// arrive publishes events as one inbound message of the first one's partition.
func (w *world) arrive(events ...*inboundv1.Event) uint64 {
	w.t.Helper()
	return w.arriveRaw(partition.Of(thread(events[0].GetPerson()), partitions), batch(w.t, events...))
}

// batch is an inbound message of events.
func batch(t *testing.T, events ...*inboundv1.Event) []byte {
	t.Helper()
	data, err := proto.Marshal(&inboundv1.Batch{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *world) arriveRaw(p int, data []byte) uint64 {
	w.t.Helper()
	seq, err := w.conn.PublishInbound(w.t.Context(), p, data)
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

// consumed waits until the partition has decided its input up to a sequence.
func (w *world) consumed(p int, sequence uint64) {
	w.t.Helper()
	w.until("the input is decided", func() bool { return w.svc.holders[p].decidedTo.Load() >= sequence })
}

// records reads the log of a partition from its beginning.
func (w *world) records(p int) []eventlog.Record {
	w.t.Helper()
	var all []eventlog.Record
	for after := uint64(0); ; {
		m, err := w.conn.NextLog(w.t.Context(), p, after)
		if errors.Is(err, bus.ErrNoMessage) {
			return all
		}
		if err != nil {
			w.t.Fatal(err)
		}
		rec, err := eventlog.Decode(m.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		all, after = append(all, rec), m.Sequence
	}
}

// events are the events of a partition's log, in order.
func (w *world) events(p int) []control.Event {
	var all []control.Event
	for _, rec := range w.records(p) {
		for _, e := range rec.Entries {
			all = append(all, e.Event)
		}
	}
	return all
}

// count counts the events of a type in a partition's log.
func count[E control.Event](w *world, p int) (n int) {
	for _, e := range w.events(p) {
		if _, ok := e.(E); ok {
			n++
		}
	}
	return n
}

// check compares, for each partition, the store with the fold of the log, and
// the control topic with the changes in the log.
func (w *world) check() {
	w.t.Helper()
	w.until("everything is applied and on the topic", func() bool {
		for p := range partitions {
			if w.svc.holders[p].part.Applied().Sequence != w.logEnd(p) {
				return false
			}
		}
		return w.svc.Lag() == 0
	})
	var want []string
	for p := range partitions {
		fold := new(eventlog.Partition)
		for _, rec := range w.records(p) {
			err := fold.Apply(&rec)
			if errors.Is(err, eventlog.ErrStaleEpoch) {
				continue
			}
			if err != nil {
				w.t.Fatal(err)
			}
			for i, e := range rec.Entries {
				if eventlog.OnTopic(e.Event) {
					want = append(want, fmt.Sprintf("%d-%d", p, uint64(rec.First)+uint64(i)))
				}
			}
		}
		part, err := w.store.Partition(p)
		if err != nil {
			w.t.Fatal(err)
		}
		if digest, err := part.Digest(); err != nil || digest != fold.Digest() {
			w.t.Errorf("partition %d: the store's digest differs from the fold of the log (%v)", p, err)
		}
	}
	w.topic.compare(w, want)
}

// pulse wakes everyone who waits for something to happen.
type pulse struct {
	mu sync.Mutex
	ch chan struct{}
}

func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ch)
	p.ch = make(chan struct{})
}
