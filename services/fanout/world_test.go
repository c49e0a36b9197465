package fanout

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
)

const (
	acme           uint64 = 100200300400500
	faq            uint64 = 700000000000001
	agent          uint64 = 700000000000002
	testPartitions        = 4
	allFields             = "messages messaging_postbacks message_echoes message_deliveries message_reads messaging_handovers standby"
)

// world is an installation around the role: a real server, real records, and a
// roster that the test changes.
type world struct {
	t    testing.TB
	conn *bus.Conn
	id   bus.Identity
	// changed is signalled by everything that a test may wait for.
	changed chan struct{}
	rosters *versions

	mu       sync.Mutex
	heads    [testPartitions]head
	finished []Finished
	deposed  int
	halted   int
	fetched  int
	shaken   int
	saves    int
}

// head is the end of a partition's log.
type head struct {
	sequence uint64
	next     control.Position
	hash     [eventlog.HashSize]byte
	epoch    uint64
	input    uint64
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	server, err := embedded.Start(embedded.Options{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Stop)
	conn, err := bus.Dial(tb.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return worldOn(tb, conn)
}

// worldOn is newWorld with a connection of the test's own.
func worldOn(tb testing.TB, conn *bus.Conn) *world {
	tb.Helper()
	id, err := conn.EnsureStreams(tb.Context(), bus.Config{Partitions: testPartitions, Replicas: 1})
	if err != nil {
		tb.Fatal(err)
	}
	w := &world{t: tb, conn: conn, id: id, changed: make(chan struct{}, 1), rosters: newVersions(tb)}
	for p := range w.heads {
		w.heads[p].next, w.heads[p].epoch = 1, 1
	}
	return w
}

// versions is the roster, all versions in memory.
type versions struct {
	mu      sync.Mutex
	t       testing.TB
	list    []*roster.Snapshot
	changed chan struct{}
	hidden  int // newest versions that Current does not show yet
}

func newVersions(tb testing.TB) *versions {
	tb.Helper()
	return &versions{t: tb, changed: make(chan struct{})}
}

func (v *versions) Current() *roster.Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.list[len(v.list)-1-v.hidden]
}

func (v *versions) At(_ context.Context, version uint64) (*roster.Snapshot, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if version == 0 || version > uint64(len(v.list)) {
		return nil, fmt.Errorf("no roster version %d", version)
	}
	return v.list[version-1], nil
}

func (v *versions) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// put makes a document the newest version.
func (v *versions) put(d roster.Document) uint64 {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	s, err := roster.Compile(d, uint64(len(v.list)+1))
	if err != nil {
		v.t.Fatal(err)
	}
	v.list = append(v.list, s)
	close(v.changed)
	v.changed = make(chan struct{})
	return s.Version()
}

// adopt makes a document the roster and logs it in every partition, as the
// holders do.
func (w *world) adopt(d roster.Document) {
	w.t.Helper()
	v := w.rosters.put(d)
	for p := range testPartitions {
		w.decide(p, v, eventlog.Entry{Event: control.RosterApplied{Version: v}})
	}
}

func (w *world) version() uint64 {
	w.rosters.mu.Lock()
	defer w.rosters.mu.Unlock()
	return uint64(len(w.rosters.list))
}

// decide appends a record to a partition's log.
func (w *world) decide(p int, version uint64, entries ...eventlog.Entry) (first control.Position) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.heads[p]
	r := eventlog.Record{
		Partition: uint32(p), Epoch: h.epoch, First: h.next, DecidedAt: control.Millis(time.Now().UnixMilli()),
		RosterVersion: version, Input: h.input, BatonID: w.id.BatonID, Entries: entries, Prev: h.hash,
	}
	data := eventlog.Encode(&r)
	sequence, err := w.conn.AppendLog(w.t.Context(), p, data, h.sequence)
	if err != nil {
		w.t.Fatal(err)
	}
	first = h.next
	h.sequence, h.next, h.hash = sequence, r.Last()+1, r.Hash
	return first
}

// garbage appends bytes that are no record.
func (w *world) garbage(p int) {
	w.t.Helper()
	if _, err := w.conn.AppendLog(w.t.Context(), p, []byte("\x01garbage"), w.heads[p].sequence); err != nil {
		w.t.Fatal(err)
	}
}

func thread(person uint64) control.ThreadKey { return control.ThreadKey{Asset: acme, Person: person} }

func partitionOf(person uint64) int { return partition.Of(thread(person), testPartitions) }

// personIn is the n-th person whose thread is in a partition.
func personIn(p, n int) uint64 {
	for person := uint64(9000); ; person++ {
		if partitionOf(person) == p {
			if n == 0 {
				return person
			}
			n--
		}
	}
}

// arrive puts elements of one person on BATON_IN and returns their references.
func (w *world) arrive(person uint64, elements ...string) []control.Ref {
	w.t.Helper()
	return w.arriveIn(partitionOf(person), acme, person, elements...)
}

func (w *world) arriveIn(p int, asset, person uint64, elements ...string) []control.Ref {
	w.t.Helper()
	batch := &inboundv1.Batch{ReceivedAtMs: time.Now().UnixMilli()}
	for _, e := range elements {
		batch.Events = append(batch.Events, &inboundv1.Event{Asset: asset, Person: person, Raw: []byte(e)})
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		w.t.Fatal(err)
	}
	sequence, err := w.conn.PublishInbound(w.t.Context(), p, data)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.heads[p].input = sequence
	w.mu.Unlock()
	refs := make([]control.Ref, len(elements))
	for i := range refs {
		refs[i] = control.Ref{Sequence: sequence, Index: uint32(i)}
	}
	return refs
}

func text(person uint64, s string) string {
	return fmt.Sprintf(`{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":1790000000045,"message":{"mid":"m_%s","text":"%s"}}`, person, acme, s, s)
}

// say makes a person write texts; the faq app owns the thread. It returns the
// delivery ids.
func (w *world) say(person uint64, texts ...string) []string {
	w.t.Helper()
	elements := make([]string, len(texts))
	for i, s := range texts {
		elements[i] = text(person, s)
	}
	entries := make([]eventlog.Entry, len(texts))
	for i, ref := range w.arrive(person, elements...) {
		entries[i] = eventlog.Entry{Thread: thread(person), Event: control.Routed{
			Input: ref, Kind: control.KindMessage, Audience: control.ToOwner, Owner: control.AppID(faq),
		}}
	}
	p := partitionOf(person)
	first := w.decide(p, w.version(), entries...)
	ids := make([]string, len(texts))
	for i := range ids {
		ids[i] = fmt.Sprintf("%d-%d", p, uint64(first)+uint64(i))
	}
	return ids
}

// node is a running service.
type node struct {
	*Service
	cancel context.CancelFunc
	done   chan error
}

// order gives an order about the faq app, for all partitions.
func (w *world) order(o Order) error {
	if o.App == 0 {
		o.App = control.AppID(faq)
	}
	return Remote{Bus: w.conn, Partitions: testPartitions}.Steer(w.t.Context(), o)
}

// steer gives one that must not fail.
func (w *world) steer(o Order) {
	w.t.Helper()
	if err := w.order(o); err != nil {
		w.t.Fatalf("%+v: %v", o, err)
	}
}

func fastConfig(w *world) Config {
	c := Default(testPartitions)
	c.BatonID, c.Sole = w.id.BatonID, true
	c.SaveEvery, c.SaveTogether, c.DrainFor = 20*time.Millisecond, 2, time.Second
	return c
}

// start runs the role until the test ends or stop is called.
func (w *world) start(change ...func(*Config, *Deps)) *node {
	w.t.Helper()
	c := fastConfig(w)
	allow, err := egress.ParseAllow([]string{"127.0.0.0/8"})
	if err != nil {
		w.t.Fatal(err)
	}
	d := Deps{
		Log: w.conn, Inbound: w.conn, Cursors: w.conn, Rosters: w.rosters, Steering: w.conn, Logger: quiet(), Observers: w.observers(),
		Transport: func(_ App, conns int) Transport {
			return egress.Transport(egress.Policy{Allow: allow, MaxConns: conns})
		},
	}
	for _, f := range change {
		f(&c, &d)
	}
	s, err := New(c, d)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{Service: s, cancel: cancel, done: make(chan error, 1)}
	go func() { n.done <- s.Run(ctx) }()
	w.t.Cleanup(func() { n.stop(w.t) })
	return n
}

func (n *node) stop(tb testing.TB) {
	tb.Helper()
	if n.cancel == nil {
		return
	}
	n.cancel()
	n.cancel = nil
	if err := <-n.done; err != nil {
		tb.Errorf("Run: %v", err)
	}
}

func (w *world) observers() Observers {
	note := func(change func()) {
		w.mu.Lock()
		change()
		w.mu.Unlock()
		signal(w.changed)
	}
	return Observers{
		Finished:  func(f Finished) { note(func() { w.finished = append(w.finished, f) }) },
		Attempt:   func(Attempt) { signal(w.changed) },
		Breaker:   func(control.AppID, BreakerState) { signal(w.changed) },
		Handshake: func(control.AppID, error) { note(func() { w.shaken++ }) },
		Fetched:   func(int) { note(func() { w.fetched++ }) },
		Saved: func(_ int, _ time.Duration, err error) {
			if err == nil {
				note(func() { w.saves++ })
			}
		},
		Deposed: func(int) { note(func() { w.deposed++ }) },
		Halted:  func(int, error) { note(func() { w.halted++ }) },
	}
}

func (w *world) count(what *int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *what
}

// outcomes counts the ends of deliveries to the faq app.
func (w *world) outcomes(o Outcome) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, f := range w.finished {
		if f.App == control.AppID(faq) && f.Outcome == o {
			n++
		}
	}
	return n
}

// until waits for a condition, looking again whenever something happened.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(90 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond) // for what signals nobody
	defer tick.Stop()
	for !holds() {
		select {
		case <-w.changed:
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// got waits until the hook has received exactly these ids, in this order.
func (w *world) got(h *hook, ids ...string) {
	w.t.Helper()
	w.until("deliveries", func() bool { return len(h.ids()) >= len(ids) })
	if got := h.ids(); !slices.Equal(got, ids) {
		w.t.Fatalf("got %v, want %v", got, ids)
	}
}
