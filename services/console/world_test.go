package console

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	pageID     uint64        = 100200300400500
	bot        control.AppID = 700000000000001
	agent      control.AppID = 700000000000002
	partitions               = 4
	begin                    = control.Millis(1_800_000_000_000)
)

const testRoster = `
platform: {graph_url: simulator, app_id: "700000000009999"}
apps:
  - {id: "700000000000001", name: bot, secret: s1}
  - {id: "700000000000002", name: agent, secret: s2}
  - {id: "700000000000003", secret: s3}
pages:
  - id: "100200300400500"
    access_token: PAGE
    routing: {mode: handover, primary: "700000000000001"}
    apps:
      - {app: "700000000000001", access_token: TA}
      - {app: "700000000000002", access_token: TB}
`

func document(t *testing.T, yaml string) roster.Document {
	t.Helper()
	c, err := roster.Load(roster.Source{Name: "test", Data: []byte(yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return roster.Proposal(c)
}

// rosters keep the present version.
type rosters struct {
	mu  sync.Mutex
	now *roster.Snapshot
}

func (r *rosters) Current() *roster.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rosters) Change(_ context.Context, edit func(roster.Document) (roster.Document, bool, error)) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, changed, err := edit(r.now.Document())
	if err != nil || !changed {
		return r.now.Version(), err
	}
	snap, err := roster.Compile(next, r.now.Version()+1)
	if err != nil {
		return 0, err
	}
	r.now = snap
	return snap.Version(), nil
}

// steered notes what apps are told; absent means that no fan-out runs.
type steered struct {
	mu     sync.Mutex
	absent bool
	calls  []string
}

func (s *steered) note(call string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return nil
}

func (s *steered) Show(_ context.Context, a control.AppID) (map[control.AppID]AppStatus, []int, error) {
	if s.absent {
		return nil, nil, errors.New("nobody delivers")
	}
	st := AppStatus{State: "active", Lag: 7, Places: []AppPlace{{Partition: 1, Node: "n", Head: 9}}}
	if a == 0 {
		a = 1
	}
	return map[control.AppID]AppStatus{a: st, bot: st, agent: st}, []int{3}, nil
}

func (s *steered) Steer(_ context.Context, o Order) error {
	if s.absent {
		return connect.NewError(connect.CodeUnavailable, errors.New("nobody delivers"))
	}
	return s.note(o.Verb + " " + o.App.String())
}

// world is a console over a real server and store. The holder behind it decides
// with the real rules, one command a record.
type world struct {
	t       *testing.T
	conn    *bus.Conn
	store   *store.Store
	rosters *rosters
	apps    *steered
	missing func(version uint64) []int
	refused int
	base    string
	svc     *Service

	mu     sync.Mutex
	now    control.Millis
	claims map[int]bool
	actor  []string // operators of the commands decided
}

// newWorld serves a console with tokens; none means the loopback rules.
func newWorld(t *testing.T, tokens ...Token) *world {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	w := &world{t: t, rosters: new(rosters), apps: new(steered), now: begin, claims: map[int]bool{}, missing: func(uint64) []int { return nil }}
	if w.conn, err = bus.Dial(t.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.conn.Close)
	if _, err := w.conn.EnsureStreams(t.Context(), bus.Config{Partitions: partitions, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	if w.store, err = store.Open(store.Options{Dir: t.TempDir(), CacheBytes: 1 << 20, MemTableBytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	if w.rosters.now, err = roster.Compile(document(t, testRoster), 1); err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		stop, err := w.conn.ServeCommands(p, w.answer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
	w.serve(tokens)
	return w
}

func (w *world) serve(tokens []Token) {
	w.t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	says := func(text string) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, text) })
	}
	w.svc, err = New(Config{Tokens: tokens}, Deps{
		Bus: w.conn, Store: w.store, Rosters: w.rosters, Apps: w.apps,
		Node: Node{
			Version: "test", Partitions: partitions, Halted: func() []string { return nil }, Held: func() int { return partitions },
			Threads: func() uint64 { return 0 }, Missing: func(v uint64) []int { return w.missing(v) },
		},
		Health: says("alive"), Ready: says("ready"), Metrics: says("metrics"),
		Mounts: []Mount{{Path: "/sim/", Handler: says("simulated"), Role: RoleOperator}},
		Refused: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refused++
		},
		Logger: slog.New(slog.DiscardHandler),
	}, ln)
	if err != nil {
		w.t.Fatal(err)
	}
	w.base = "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// client is a client with a token; empty for none.
func (w *world) client(token string) adminv1connect.AdminServiceClient {
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return adminv1connect.NewAdminServiceClient(&http.Client{Transport: bearer{transport, token}}, w.base)
}

type bearer struct {
	http.RoundTripper
	token string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.RoundTripper.RoundTrip(r)
}

// answer decides a command as a holder would.
func (w *world) answer(c bus.CommandCall) {
	r, err := c.Request()
	if err != nil {
		w.t.Error(err)
		return
	}
	key := control.ThreadKey{Asset: r.GetAsset(), Person: r.GetPerson()}
	var cmd control.Command
	switch v := r.GetVerb().(type) {
	case *commandv1.Request_Operate:
		o := v.Operate
		cmd = control.Operate{Operator: o.GetOperator(), Verb: control.OperatorVerb(o.GetVerb()), Target: control.AppID(o.GetTarget()), Metadata: o.GetMetadata()}
		if o.GetDryRun() {
			key.Person = 0
		}
	case *commandv1.Request_Inbox:
		cmd = control.InboxAction{Operator: v.Inbox.GetOperator(), Verb: control.InboxVerb(v.Inbox.GetVerb())}
	}
	resp := &commandv1.Response{Status: commandv1.Status_STATUS_OK, Thread: &commandv1.Thread{}}
	if key.Person != 0 {
		st, refusal := w.decide(key, cmd)
		if refusal.Refused() {
			resp.Status, resp.Refusal = commandv1.Status_STATUS_REFUSED, &commandv1.Refusal{Reason: uint32(refusal.Reason)}
		}
		resp.Thread = &commandv1.Thread{Owner: uint64(st.Owner), ExpiresAtMs: int64(st.ExpiresAt), Revision: st.Revision}
	}
	if err := c.Reply(resp); err != nil {
		w.t.Error(err)
	}
}

// decide runs the rules and writes what they decide as a record, a second later
// than the last; it puts the changes on the topic.
func (w *world) decide(key control.ThreadKey, cmd control.Command) (control.State, control.Refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := partition.Of(key, partitions)
	part, err := w.store.Partition(p)
	if err != nil {
		w.t.Error(err)
	}
	if !w.claims[p] {
		w.claims[p] = true
		w.write(part, nil, true)
	}
	w.now += control.Second
	st, _, err := part.State(key)
	if err != nil {
		w.t.Error(err)
	}
	events, refusal := control.Decide(st, control.Env{
		Now: w.now, Position: part.Applied().Position + 1, Page: w.rosters.Current().Page(key.Asset), Person: key.Person,
	}, cmd)
	var entries []eventlog.Entry
	for _, e := range events {
		st = control.Evolve(st, e)
		entries = append(entries, eventlog.Entry{Thread: key, Event: e})
		if c, ok := control.ChangeOf(e); ok {
			w.actor = append(w.actor, c.By.Name)
		}
	}
	if len(entries) > 0 {
		w.write(part, entries, false, store.Change{Thread: key, State: st})
	}
	return st, refusal
}

func (w *world) write(part *store.Partition, entries []eventlog.Entry, claim bool, changes ...store.Change) {
	a, p := part.Applied(), part.Number()
	rec := eventlog.Record{
		Partition: uint32(p), Epoch: max(a.Epoch, 1), Claim: claim, First: a.Position + 1, DecidedAt: w.now, RosterVersion: 1,
		BatonID: [16]byte{1}, Entries: entries, Prev: a.Hash,
	}
	_, _ = rand.Read(rec.Group[:])
	raw := eventlog.Encode(&rec)
	last, err := w.conn.LastLog(context.Background(), p)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		w.t.Error(err)
	}
	seq, err := w.conn.AppendLog(context.Background(), p, raw, last.Sequence)
	if err != nil {
		w.t.Error(err)
		return
	}
	if err := part.Apply(&rec, raw, seq, changes); err != nil {
		w.t.Error(err)
	}
	for i := range entries {
		change, ok := eventlog.ControlChange(&rec, rec.First+control.Position(i), control.ObjectPage, changes[0].State)
		if !ok {
			continue
		}
		m, err := eventlog.Topic(change, eventlog.Encoding(i%2))
		if err != nil {
			w.t.Error(err)
		}
		_, seq, err := w.conn.ControlCursor(context.Background(), p)
		if err != nil {
			w.t.Error(err)
		}
		_, err = w.conn.PublishControl(context.Background(), []bus.ControlMessage{{Subject: m.Subject, ID: m.ID, Header: m.Header, Data: m.Data}},
			[]bus.CursorMove{{Partition: p, Data: []byte("{}"), Expected: seq}})
		if err != nil {
			w.t.Error(err)
		}
	}
}

// give gives a person's thread to an app.
func (w *world) give(person uint64, to control.AppID) {
	w.decide(control.ThreadKey{Asset: pageID, Person: person}, control.Operate{Operator: "test", Verb: control.OperatorPass, Target: to})
}

func code(t *testing.T, err error, want connect.Code) {
	t.Helper()
	if connect.CodeOf(err) != want || err == nil {
		t.Errorf("error %v, want %v", err, want)
	}
}

func brief(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
