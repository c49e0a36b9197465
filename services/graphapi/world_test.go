package graphapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	acme   = "100200300400500"
	insta  = "17841400000000001"
	person = "9001234567890123"
)

// apps: A is the primary, B may send as a human agent, C is in development, D
// lacks tasks, E demands proofs, F is limited to one call a second.
const testRoster = `
platform: {graph_url: simulator}
apps:
  - {id: "700000000000001", name: faq-bot, secret: s1}
  - {id: "700000000000002", name: agent, secret: s2, features: [human_agent]}
  - {id: "700000000000003", name: survey, secret: s3, status: development, testers: ["42"]}
  - {id: "700000000000004", name: reader, secret: s4}
  - {id: "700000000000005", name: careful, secret: baton-test-app-secret, require_appsecret_proof: true}
  - {id: "700000000000006", name: busy, secret: s6, rate_limit: {per_second: 1}}
pages:
  - id: "100200300400500"
    access_token: PAGE
    routing: {mode: handover, primary: "700000000000001"}
    apps:
      - {app: "700000000000001", access_token: TA}
      - {app: "700000000000002", access_token: TB}
      - {app: "700000000000003", access_token: TC}
      - {app: "700000000000004", access_token: TD, tasks: [MESSAGING], permissions: []}
      - {app: "700000000000005", access_token: EAABatonPageToken001}
      - {app: "700000000000006", access_token: TF}
  - id: "17841400000000001"
    object: instagram
    linked_page: "100200300400500"
    access_token: IGPAGE
    routing: {mode: conversation_routing, default_app: "700000000000001", can_take: ["700000000000002"]}
    apps:
      - {app: "700000000000001", access_token: IA}
      - {app: "700000000000002", access_token: IB}
  - id: "100200300400501"
    access_token: PAGE2
    routing: {mode: conversation_routing}
    apps: [{app: "700000000000001", access_token: ZA}, {app: "700000000000002", access_token: ZB}]
`

// world is a Graph API over real HTTP and NATS, with the real rules behind it
// and a platform that a test scripts.
type world struct {
	t        *testing.T
	api      *httptest.Server
	holder   *holder
	stop     func() // ends the holder
	platform *fakePlatform
	snapshot atomic.Pointer[roster.Snapshot]
	service  *Service
	bus      *bus.Conn
	changing sync.Mutex // held while the roster changes
}

const partitions = 4

// newWorld starts one; change may alter the configuration.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, platform: newPlatform(t)}
	w.use(compiled(t, testRoster))
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
	if _, err := conn.EnsureStreams(t.Context(), bus.Config{Partitions: partitions, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	w.bus = conn
	w.holder = newHolder(t, w.snapshot.Load)
	w.stop = w.holder.serve(conn, partitions)
	w.serve(conn, change)
	return w
}

func (w *world) serve(holder Asker, change []func(*Config)) {
	w.t.Helper()
	client := w.client(20 * time.Second)
	config := Default(partitions)
	config.AnswerWithin, config.AttemptWithin = 2*time.Second, 200*time.Millisecond
	for _, c := range change {
		c(&config)
	}
	var err error
	w.service, err = New(config, Deps{
		Roster: w.snapshot.Load, Holder: holder, Platform: client, PlatformURL: client.BaseURL(), Rosters: w, Callbacks: w.callbacks, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.api = httptest.NewServer(w.service)
	w.t.Cleanup(func() { http.DefaultClient.CloseIdleConnections(); w.api.Close() })
}

// client forwards to the platform, which may take so long.
func (w *world) client(within time.Duration) *platform.Client {
	w.t.Helper()
	client, err := platform.New(platform.Config{BaseURL: w.platform.server.URL, Timeout: within})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(client.Close)
	return client
}

func compiled(tb testing.TB, yaml string) *roster.Snapshot {
	tb.Helper()
	c, err := roster.Load(roster.Source{Name: "test", Data: []byte(yaml)})
	if err != nil {
		tb.Fatal(err)
	}
	d, _ := roster.FromConfig(c, roster.Document{})
	s, err := roster.Compile(d, 3)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// callbacks reaches receivers on this machine at 127.0.0.1, and nowhere else,
// with the app's token where it has one.
func (w *world) callbacks(app *roster.Application) Transport {
	allow, err := egress.ParseAllow([]string{"127.0.0.1"})
	if err != nil {
		w.t.Error(err)
	}
	return egress.Transport(egress.Policy{Allow: allow, Credentials: egress.Credentials{OAuth: egress.OAuth{
		TokenURL: app.OAuth.TokenURL, ClientID: app.OAuth.ClientID, ClientSecret: app.OAuth.ClientSecret.Value(),
	}}})
}

// Change implements Rosters on the bus: a version is stored, then in force.
func (w *world) Change(ctx context.Context, edit func(roster.Document) (roster.Document, bool, error)) (uint64, error) {
	w.changing.Lock()
	defer w.changing.Unlock()
	next, changed, err := edit(w.snapshot.Load().Document())
	if err != nil || !changed {
		return w.snapshot.Load().Version(), err
	}
	data, err := next.Encode()
	if err != nil {
		return 0, err
	}
	_, version, err := w.bus.Roster(ctx)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return 0, err
	}
	if version, err = w.bus.SaveRoster(ctx, data, version); err != nil {
		return 0, err
	}
	if next, err = roster.ParseDocument(data); err != nil {
		return 0, err
	}
	s, err := roster.Compile(next, version)
	if err != nil {
		return 0, err
	}
	w.use(s)
	return version, nil
}

func (w *world) use(s *roster.Snapshot) { w.snapshot.Store(s) }

// got is an answer of the API.
type got struct {
	status int
	header http.Header
	body   string
}

// errorBody is a Graph error as clients read it.
type errorBody struct {
	Error struct {
		Message   string `json:"message"`
		Type      string `json:"type"`
		Code      int    `json:"code"`
		Subcode   int    `json:"error_subcode"`
		Data      string `json:"error_data"`
		Trace     string `json:"fbtrace_id"`
		Transient bool   `json:"is_transient"`
	} `json:"error"`
}

func (g got) graphError(t *testing.T) errorBody {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal([]byte(g.body), &e); err != nil || e.Error.Trace == "" {
		t.Fatalf("not a Graph error: %d %s", g.status, g.body)
	}
	return e
}

func (w *world) do(r *http.Request) got {
	w.t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return got{answer.StatusCode, answer.Header, string(body)}
}

func (w *world) call(method, path, contentType, body string) got {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.api.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return w.do(r)
}

// post calls an edge of the token's page with a JSON body.
func (w *world) post(edge, token, body string) got {
	w.t.Helper()
	return w.call(http.MethodPost, "/v25.0/me/"+edge+"?access_token="+token, "application/json", body)
}

func (w *world) get(path string) got {
	w.t.Helper()
	return w.call(http.MethodGet, path, "", "")
}

// ok fails the test unless the call succeeded.
func (w *world) ok(g got) got {
	w.t.Helper()
	if g.status != http.StatusOK || !strings.HasPrefix(g.header.Get("Content-Type"), "application/json") {
		w.t.Fatalf("%d %s %s", g.status, g.header.Get("Content-Type"), g.body)
	}
	return g
}

// refused fails the test unless the call was refused with these codes.
func (w *world) refused(g got, code, subcode int) errorBody {
	w.t.Helper()
	e := g.graphError(w.t)
	if e.Error.Code != code || e.Error.Subcode != subcode {
		w.t.Fatalf("want %d/%d, got %d %s", code, subcode, g.status, g.body)
	}
	return e
}

func to(p string) string { return `"recipient":{"id":"` + p + `"}` }

func text(p string) string { return `{` + to(p) + `,"message":{"text":"hello","metadata":"mine"}}` }

// owner says who has control of the person's thread with the Page.
func (w *world) owner(p uint64) control.AppID {
	w.holder.mu.Lock()
	defer w.holder.mu.Unlock()
	return w.holder.mu.threads[control.ThreadKey{Asset: 100200300400500, Person: p}].Owner
}

// fakePlatform records what it is sent and answers as its script says.
type fakePlatform struct {
	server *httptest.Server
	mu     struct {
		sync.Mutex
		calls  []sent
		script http.HandlerFunc
	}
}

// sent is a call that reached the platform.
type sent struct {
	method, path, token, contentType string
	query                            url.Values
	fields                           map[string]any
	raw                              string
}

func newPlatform(t *testing.T) *fakePlatform {
	t.Helper()
	p := &fakePlatform{}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *fakePlatform) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s := sent{method: r.Method, query: r.URL.Query(), path: r.URL.Path, token: r.URL.Query().Get("access_token"), contentType: r.Header.Get("Content-Type"), raw: string(body)}
	_ = json.Unmarshal(body, &s.fields)
	p.mu.Lock()
	p.mu.calls = append(p.mu.calls, s)
	script := p.mu.script
	p.mu.Unlock()
	w.Header().Set("Content-Type", jsonType)
	if script != nil {
		script(w, r)
		return
	}
	if !strings.HasSuffix(r.URL.Path, "/messages") {
		_, _ = io.WriteString(w, `{"result":"success"}`)
		return
	}
	if _, action := s.fields["sender_action"]; action {
		_, _ = io.WriteString(w, `{"recipient_id":"`+person+`"}`)
		return
	}
	_, _ = io.WriteString(w, `{"recipient_id":"`+person+`","message_id":"m_1"}`)
}

// answers sets how the platform answers from now on.
func (p *fakePlatform) answers(script http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.script = script
}

func (p *fakePlatform) calls() []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]sent(nil), p.mu.calls...)
}
