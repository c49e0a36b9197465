package ownership_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
	"github.com/baton-router/baton/services/ownership"
)

const (
	parts   = 4
	page    = 100200300400500
	primary = 700000000000001
	second  = 700000000000002
	soon    = 90 * time.Second
)

// streams are real streams on a real embedded server.
type streams struct {
	t        *testing.T
	conn     *bus.Conn
	identity bus.Identity
	events   atomic.Uint64
}

func newStreams(t *testing.T) *streams {
	t.Helper()
	return newStreamsIn(t, t.TempDir())
}

// newStreamsIn is newStreams on what is in a directory.
func newStreamsIn(t *testing.T, dir string) *streams {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := bus.Dial(t.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	id, err := conn.EnsureStreams(t.Context(), bus.Config{Partitions: parts, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &streams{t: t, conn: conn, identity: id}
}

// person is the thread of the nth of some people who are spread over the
// partitions.
func person(n int) control.ThreadKey { return control.ThreadKey{Asset: page, Person: 9001 + uint64(n)} }

// write puts n messages of different people on the input, each in a stream
// message of its own.
func (s *streams) write(n int) {
	s.t.Helper()
	for range n {
		id := s.events.Add(1)
		key := person(int(id % 16))
		e := &inboundv1.Event{
			Asset: key.Asset, Person: key.Person, Kind: uint32(control.KindMessage), TimestampMs: time.Now().UnixMilli(),
			Dedupe: binary.BigEndian.AppendUint64(make([]byte, 8), id), Mid: fmt.Sprintf("m_%d", id), Raw: []byte(`{}`),
		}
		data, err := proto.Marshal(&inboundv1.Batch{Events: []*inboundv1.Event{e}})
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := s.conn.PublishInbound(s.t.Context(), partition.Of(key, parts), data); err != nil {
			s.t.Fatal(err)
		}
	}
}

// history reads the log and checks its chain: how many times each input event
// was decided, and the fold of it all.
func (s *streams) history() (decided map[[16]byte]int, fold *eventlog.Fold) {
	s.t.Helper()
	decided, fold = map[[16]byte]int{}, new(eventlog.Fold)
	var chain eventlog.Verifier
	for p := range parts {
		for after := uint64(0); ; {
			m, err := s.conn.NextLog(s.t.Context(), p, after)
			if errors.Is(err, bus.ErrNoMessage) {
				break
			}
			if err != nil {
				s.t.Fatal(err)
			}
			rec, err := eventlog.Decode(m.Data)
			if err != nil {
				s.t.Fatal(err)
			}
			chain.Check(&rec)
			if err := fold.Apply(&rec); err != nil {
				s.t.Fatal(err)
			}
			for i := range rec.Entries {
				if e, ok := rec.Entries[i].Event.(control.Routed); ok {
					decided[e.Dedupe]++
				}
			}
			after = m.Sequence
		}
	}
	for _, fault := range chain.Faults() {
		s.t.Errorf("log: %s", fault)
	}
	return decided, fold
}

// allDecidedOnce waits until every event of the input is in the log, and checks
// that none is there twice.
func (s *streams) allDecidedOnce() {
	s.t.Helper()
	var decided map[[16]byte]int
	if !soonTrue(func() bool { decided, _ = s.history(); return uint64(len(decided)) >= s.events.Load() }) {
		s.t.Errorf("%d of %d input events were decided", len(decided), s.events.Load())
	}
	for key, n := range decided {
		if n != 1 {
			s.t.Errorf("event %x was decided %d times", key, n)
		}
	}
}

// holders are the holders of one node.
type holders struct {
	s       *streams
	store   *store.Store
	service *ownership.Service
	stop    func() // ends the service, once
}

// hold starts the holders of a node on a store.
func (s *streams) hold(db *store.Store, log ownership.Log, o ownership.Observer) *holders {
	s.t.Helper()
	return s.holdWith(ownership.Config{Partitions: parts, Holder: "test", BatonID: s.identity.BatonID, Barrier: true}, db, log, o)
}

// holdWith is hold with a configuration.
func (s *streams) holdWith(cfg ownership.Config, db *store.Store, log ownership.Log, o ownership.Observer) *holders {
	s.t.Helper()
	service, err := ownership.New(cfg, ownership.Deps{
		Log: log, Input: s.conn, Commands: s.conn, Topic: s.conn, Store: db, Snapshots: s.conn, Rosters: newRosters(s.t), Clock: wallClock{},
		Platform: noPlatform{}, Observe: o, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	for p := range parts {
		service.Hold(p)
	}
	h := &holders{s: s, store: db, service: service}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(h.stop)
	return h
}

func (s *streams) open(disk *storetest.Disk) *store.Store {
	s.t.Helper()
	db, err := store.Open(store.Options{Dir: "store", FS: disk.FS()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (h *holders) awaitHeld() {
	h.s.t.Helper()
	if !soonTrue(func() bool {
		for _, st := range h.service.Statuses() {
			if !st.Held {
				return false
			}
		}
		return true
	}) {
		h.s.t.Fatalf("not held: %+v", h.service.Statuses())
	}
}

// equalsFold waits until the store has the digest of the log's fold.
func (h *holders) equalsFold() {
	h.s.t.Helper()
	if !soonTrue(func() bool {
		_, fold := h.s.history()
		digest, err := h.store.Digest(parts)
		return err == nil && digest == fold.Digest()
	}) {
		h.s.t.Error("the digest of the store is not that of the log's fold")
	}
}

// ask sends a command and returns its answer.
func (s *streams) ask(q *commandv1.Request) (*commandv1.Response, error) {
	return s.askWithin(q, soon)
}

func (s *streams) askWithin(q *commandv1.Request, wait time.Duration) (*commandv1.Response, error) {
	q.RosterVersion, q.BudgetMs = 1, soon.Milliseconds()
	p := partition.Of(control.ThreadKey{Asset: q.GetAsset(), Person: q.GetPerson()}, parts)
	return s.conn.Ask(context.Background(), p, proto.CloneOf(q), wait)
}

func pass(id byte, key control.ThreadKey) *commandv1.Request {
	return &commandv1.Request{
		Id: append(make([]byte, 15), id), Asset: key.Asset, Person: key.Person, App: primary,
		Verb: &commandv1.Request_Pass{Pass: &commandv1.Pass{Target: second, Metadata: "pass"}},
	}
}

// soonTrue polls a condition until it is met or its time is over.
func soonTrue(met func() bool) bool {
	deadline := time.NewTimer(soon)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-deadline.C:
			return met()
		case <-tick.C:
		}
	}
	return true
}

type wallClock struct{}

func (wallClock) Now() time.Time          { return time.Now() }
func (wallClock) Offset() time.Duration   { return 0 }
func (wallClock) Jumped() <-chan struct{} { return nil }

// noPlatform is never asked: no inbox, no surveys.
type noPlatform struct{}

func (noPlatform) SendSurvey(context.Context, control.ThreadKey, []byte, string) (string, []byte, error) {
	return "", nil, errors.New("no surveys here")
}
func (noPlatform) Mirror(context.Context, control.ThreadKey, bool) error { return nil }

// rosters has one page with two apps as version 1.
type rosters struct{ empty, current *roster.Snapshot }

const rosterText = `
platform: {graph_url: "http://127.0.0.1:1", app_id: "700000000009999", app_secret: s, verify_token: v}
apps:
  - {id: "700000000000001", name: first, secret: s, callback_url: "https://a.example/", verify_token: v, fields: [messages, standby]}
  - {id: "700000000000002", name: second, secret: s, callback_url: "https://b.example/", verify_token: v, fields: [messages, standby]}
pages:
  - id: "100200300400500"
    name: page
    access_token: t
    routing: {mode: handover, primary: "700000000000001"}
    apps:
      - {app: "700000000000001", access_token: t1, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}
      - {app: "700000000000002", access_token: t2, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}
`

func newRosters(t *testing.T) rosters {
	t.Helper()
	cfg, err := roster.Load(roster.Source{Name: "test", Data: []byte(rosterText)})
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := roster.FromConfig(cfg, roster.Document{})
	current, err := roster.Compile(doc, 1)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := roster.Compile(roster.Document{Format: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return rosters{empty, current}
}

func (r rosters) Current() *roster.Snapshot { return r.current }
func (r rosters) Changed() <-chan struct{}  { return nil }
func (r rosters) At(_ context.Context, version uint64) (*roster.Snapshot, error) {
	if version == 0 {
		return r.empty, nil
	}
	return r.current, nil
}
