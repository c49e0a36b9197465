package demoapps_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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

	"github.com/baton-router/baton/services/demoapps"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	person = "9001234567890123"
	waited = 60 * time.Second
)

// called is one Graph call as the fake Graph API received it.
type called struct {
	app  uint64
	edge string
	body map[string]any
}

// text is the text of a message sent.
func (c called) text() string {
	m, _ := c.body["message"].(map[string]any)
	s, _ := m["text"].(string)
	return s
}

// world is the three apps, running, and a Graph API that records their calls.
type world struct {
	t      *testing.T
	roster demoapps.Roster
	apps   *demoapps.Service
	calls  chan called
	told   chan demoapps.Delivery
	stop   func()
	client *http.Client

	mu     sync.Mutex
	answer func(c called) (int, string)
	next   int // delivery id
}

func newWorld(t *testing.T) *world {
	t.Helper()
	roster, err := demoapps.DevRoster(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, client: &http.Client{Transport: &http.Transport{}}, roster: roster, calls: make(chan called, 256), told: make(chan demoapps.Delivery, 4096)}
	graph := httptest.NewServer(http.HandlerFunc(w.graph))
	t.Cleanup(graph.Close)
	w.apps, err = demoapps.New(
		demoapps.Config{GraphURL: graph.URL, Roster: roster, ReleaseAfter: time.Millisecond},
		demoapps.Deps{Logger: slog.New(slog.DiscardHandler), OnDelivery: func(d demoapps.Delivery) { w.told <- d }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.apps.Run(ctx) }()
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

func (w *world) app(id uint64) demoapps.App {
	for _, a := range w.roster.Apps {
		if a.ID == id {
			return a
		}
	}
	w.t.Fatalf("no app %d", id)
	return demoapps.App{}
}

// answers makes the Graph API answer as do says.
func (w *world) answers(do func(c called) (int, string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = do
}

func (w *world) graph(rw http.ResponseWriter, r *http.Request) {
	c := called{body: map[string]any{}}
	q := r.URL.Query()
	for _, a := range w.roster.Apps {
		if a.AccessToken == q.Get("access_token") {
			c.app = a.ID
			if q.Get("appsecret_proof") != hexMAC(a.Secret, []byte(a.AccessToken)) {
				w.t.Errorf("%s: wrong appsecret_proof", a.Name)
			}
		}
	}
	var found bool
	if c.edge, found = strings.CutPrefix(r.URL.Path, "/v24.0/me/"); !found {
		w.t.Errorf("path %s", r.URL.Path)
	}
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &c.body); err != nil {
		w.t.Errorf("body %s: %v", body, err)
	}
	w.mu.Lock()
	status, answer := 200, `{"success":true,"recipient_id":"9001234567890123","message_id":"m_1"}`
	if w.answer != nil {
		status, answer = w.answer(c)
	}
	w.mu.Unlock()
	w.calls <- c
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, answer)
}

func hexMAC(key string, data []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(data)
	return hex.EncodeToString(mac.Sum(nil))
}

// delivers posts one event to an app, signed, with the next delivery id.
func (w *world) delivers(app uint64, channel, event string) {
	w.t.Helper()
	w.next++
	w.deliversAs(app, channel, event, fmt.Sprintf("7-%d", w.next))
}

func (w *world) deliversAs(app uint64, channel, event, id string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"object":"page","entry":[{"id":"100200300400500","time":1,%q:[%s]}]}`, channel, event)
	if status := w.posts(app, body, "sha256="+hexMAC(w.app(app).Secret, []byte(body)), id); status != 200 {
		w.t.Fatalf("webhook answered %d", status)
	}
}

func (w *world) posts(app uint64, body, signature, id string) int {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.apps.CallbackURL(app), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Hub-Signature-256", signature)
	req.Header.Set("Baton-Delivery-Id", id)
	req.Header.Set("Baton-Attempt", "1")
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// calling waits for the next Graph call.
func (w *world) calling() called {
	w.t.Helper()
	select {
	case c := <-w.calls:
		return c
	case <-time.After(waited):
		w.t.Fatal("no Graph call came")
		return called{}
	}
}

// silent checks that an app, after all it was sent, has made no call: it acts
// on one event after the other, so a later one shows that it is done.
func (w *world) silent(app uint64) {
	w.t.Helper()
	w.delivers(app, "standby", from(`"message":{"mid":"m_mark","text":"mark"}`))
	for {
		select {
		case d := <-w.told:
			if d.App == app && d.Text == "mark" {
				if len(w.calls) > 0 {
					w.t.Errorf("call %+v", <-w.calls)
				}
				return
			}
		case <-time.After(waited):
			w.t.Fatal("the app does not work")
		}
	}
}

// from is an event of the person.
func from(part string) string {
	return `{"sender":{"id":"` + person + `"},"recipient":{"id":"100200300400500"},"timestamp":1,` + part + `}`
}

func says(text string) string { return from(fmt.Sprintf(`"message":{"mid":"m_9","text":%q}`, text)) }

// echo is an event of the page.
func echo(app uint64, mid, text string) string {
	return fmt.Sprintf(`{"sender":{"id":"100200300400500"},"recipient":{"id":%q},"timestamp":1,`+
		`"message":{"mid":%q,"is_echo":true,"app_id":%d,"text":%q}}`, person, mid, app, text)
}
