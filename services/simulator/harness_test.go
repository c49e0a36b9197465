package simulator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
	"github.com/baton-router/baton/services/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	appID  = 700000000009999
	page   = 100200300400500
	insta  = 17841400000000001
	person = 9001234567890123
	other  = 9001234567890124
	secret = "platform-secret"
	token  = "EAAplatform"
	waited = 60 * time.Second // for what must come
)

// got is one webhook as ingress received it.
type got struct {
	body    []byte
	object  string
	channel string
	entry   control.Millis
	event   map[string]any
	at      time.Time
}

func (g got) kind() string {
	for _, k := range []string{
		"message", "postback", "referral", "optin", "delivery", "read", "reaction", "message_edit",
		"messaging_feedback", "pass_thread_control", "take_thread_control",
	} {
		if _, ok := g.event[k]; ok {
			if k == "message" && g.part("message")["is_echo"] == true {
				return "echo"
			}
			return k
		}
	}
	return "?"
}

func (g got) part(name string) map[string]any {
	m, _ := g.event[name].(map[string]any)
	return m
}

// fakeIngress records what the simulator pushes. It accepts only what Baton's
// ingress would: a right signature and a body that parses.
type fakeIngress struct {
	*httptest.Server
	t    *testing.T
	hits chan got

	mu     sync.Mutex
	answer func(n int, body []byte) (status int, retryAfter string)
	n      int
	held   string
	until  <-chan struct{}
}

// holds makes ingress hold requests with a text in the body until a channel is
// closed.
func (f *fakeIngress) holds(text string, until <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.until = text, until
}

func newIngress(t *testing.T) *fakeIngress {
	t.Helper()
	f := &fakeIngress{t: t, hits: make(chan got, 4096)}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// answers makes ingress answer the nth attempt, from 1, as do says; status 200
// is recorded as accepted.
func (f *fakeIngress) answers(do func(n int, body []byte) (int, string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = do
}

func (f *fakeIngress) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		challenge, ok := webhook.Challenge(r.URL.Query(), "verify-me")
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, challenge)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := webhook.Verify([]byte(secret), body, r.Header.Get("X-Hub-Signature-256"), r.Header.Get("X-Hub-Signature")); err != nil {
		f.t.Errorf("signature: %v", err)
	}
	f.mu.Lock()
	f.n++
	status, after := http.StatusOK, ""
	if f.answer != nil {
		status, after = f.answer(f.n, body)
	}
	hold := f.until
	if f.held == "" || !strings.Contains(string(body), f.held) {
		hold = nil
	}
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if status == http.StatusOK {
		f.hits <- f.read(body)
	}
	if after != "" {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
}

func (f *fakeIngress) read(body []byte) got {
	for _, b := range body {
		if b >= 0x80 {
			f.t.Errorf("body is not ASCII: %s", body)
			break
		}
	}
	if _, err := webhook.Parse(body, webhook.Limits{}); err != nil {
		f.t.Errorf("body does not parse: %v: %s", err, body)
	}
	var env struct {
		Object string `json:"object"`
		Entry  []struct {
			Time      control.Millis   `json:"time"`
			Messaging []map[string]any `json:"messaging"`
			Standby   []map[string]any `json:"standby"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(body, &env); err != nil || len(env.Entry) != 1 {
		f.t.Errorf("body %s: %v", body, err)
		return got{}
	}
	g := got{body: body, object: env.Object, channel: "messaging", entry: env.Entry[0].Time, at: time.Now()}
	list := env.Entry[0].Messaging
	if list == nil {
		g.channel, list = "standby", env.Entry[0].Standby
	}
	g.event = list[0]
	return g
}

// next waits for the next accepted webhook.
func (f *fakeIngress) next() got {
	f.t.Helper()
	select {
	case g := <-f.hits:
		return g
	case <-time.After(waited):
		f.t.Fatal("no webhook came")
		return got{}
	}
}

// kinds waits for n webhooks and returns their kinds in order.
func (f *fakeIngress) kinds(n int) []string {
	f.t.Helper()
	var out []string
	for range n {
		out = append(out, f.next().kind())
	}
	return out
}

// world is a running simulator and the ingress that it pushes to.
type world struct {
	t       *testing.T
	sim     *simulator.Service
	ingress *fakeIngress
	stop    func()
	client  *http.Client
}

func baseConfig(t *testing.T, webhookURL string) simulator.Config {
	t.Helper()
	return simulator.Config{
		DataDir: t.TempDir(), WebhookURL: webhookURL, Listen: "127.0.0.1:0",
		AppID: appID, AppSecret: secret, VerifyToken: "verify-me", DefaultPerson: person, Seed: 7,
		Pages: []simulator.Page{
			{ID: page, Object: control.ObjectPage, Name: "ACME Air", AccessToken: token},
			{ID: insta, Object: control.ObjectInstagram, Name: "acme.air", AccessToken: token + "IG", LinkedPage: page},
		},
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	f := newIngress(t)
	return start(t, f, baseConfig(t, f.URL))
}

func start(t *testing.T, f *fakeIngress, c simulator.Config) *world {
	t.Helper()
	sim, err := simulator.New(c, simulator.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sim.Run(ctx) }()
	w := &world{t: t, sim: sim, ingress: f, client: &http.Client{Transport: &http.Transport{}}}
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		w.stop()
		w.client.CloseIdleConnections()
	})
	return w
}

// writes makes the person write and swallows the webhook.
func (w *world) writes(text string) string {
	w.t.Helper()
	mid, err := w.sim.Message(page, person, text, simulator.MessageOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if g := w.ingress.next(); g.part("message")["mid"] != mid {
		w.t.Fatalf("webhook %s, want message %s", g.body, mid)
	}
	return mid
}

// answered is what a Graph call got.
type answered struct {
	status int
	body   map[string]any
	at     time.Time
}

func (a answered) code() (int, int) {
	e, _ := a.body["error"].(map[string]any)
	c, _ := e["code"].(float64)
	s, _ := e["error_subcode"].(float64)
	return int(c), int(s)
}

func (w *world) graph(method, path, body string) answered {
	w.t.Helper()
	req, err := http.NewRequest(method, w.sim.URL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if req.Header.Get("Authorization") == "" && !strings.Contains(path, "access_token") {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answered{status: res.StatusCode, at: time.Now()}
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&a.body); err != nil {
		w.t.Fatalf("answer %q: %v", raw, err)
	}
	return a
}

func (w *world) send(text string) answered {
	w.t.Helper()
	return w.graph("POST", "/v24.0/me/messages", fmt.Sprintf(
		`{"recipient":{"id":"%d"},"messaging_type":"RESPONSE","message":{"text":%q,"metadata":"baton1:3-9"}}`, person, text))
}

// sent sends a message that must be accepted and returns its id.
func (w *world) sent(text string) string {
	w.t.Helper()
	a := w.send(text)
	mid, _ := a.body["message_id"].(string)
	if a.status != 200 || mid == "" {
		w.t.Fatalf("send: %d %v", a.status, a.body)
	}
	return mid
}

func (w *world) switches(s simulator.Switches) {
	w.t.Helper()
	if err := w.sim.SetSwitches(0, s); err != nil {
		w.t.Fatal(err)
	}
}
