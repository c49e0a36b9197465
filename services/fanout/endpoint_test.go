package fanout

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// liveEngine is an engine that posts to a real endpoint.
func liveEngine(tb testing.TB, callback string, app App) (*engine, *sink, chan Attempt) {
	tb.Helper()
	allow, err := egress.ParseAllow([]string{"127.0.0.1"})
	if err != nil {
		tb.Fatal(err)
	}
	attempts := make(chan Attempt, 64)
	app.ID, app.Callback, app.Secret = testApp, callback, []byte("secret")
	s := newSink()
	e := newEngine(engineParts{
		app: app, transport: egress.Transport(egress.Policy{Allow: allow, MaxConns: 5}), log: quiet(), agent: "Baton/test",
		observers: &Observers{Attempt: func(a Attempt) { attempts <- a }},
		bounds:    bounds{letters: 1000, bytes: 1 << 20, floor: 1 << 16, shared: &budget{limit: 1 << 20}},
		sockets:   &sockets{limit: 4096}, throttle: &throttle{},
	})
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		e.drain(ctx)
	})
	return e, s, attempts
}

func post(e *engine, s *sink, p control.Position) {
	e.offer([]*letter{{
		from: s, position: p, thread: control.ThreadKey{Asset: 1, Person: uint64(p)}, channel: control.ChannelMessaging,
		at: control.Millis(time.Now().UnixMilli()), element: []byte(`{}`),
	}})
}

// stale closes every connection at its second request, as a load balancer does
// with connections that it takes for idle.
type stale struct {
	mu   sync.Mutex
	used map[string]bool
	seen []string
}

func (s *stale) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	closed := s.used[r.RemoteAddr]
	s.used[r.RemoteAddr] = true
	if !closed {
		s.seen = append(s.seen, r.Header.Get(headerDeliveryID)+" attempt "+r.Header.Get(headerAttempt))
	}
	s.mu.Unlock()
	if closed {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return
	}
	_, _ = io.WriteString(w, "EVENT_RECEIVED")
}

func TestStaleConnectionIsTriedAgainOnceAtOnce(t *testing.T) {
	t.Parallel()
	endpoint := &stale{used: map[string]bool{}}
	srv := httptest.NewServer(endpoint)
	t.Cleanup(srv.Close)
	e, s, attempts := liveEngine(t, srv.URL, App{MaxInFlight: 1})
	e.enable(e.settings())
	for p := range control.Position(3) {
		post(e, s, p+1)
		if a := <-attempts; a.Answer != "taken" {
			t.Fatalf("attempt %+v", a)
		}
	}
	if got, want := fmt.Sprint(endpoint.seen), "[0-1 attempt 1 0-2 attempt 1 0-3 attempt 1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// drip sends a head and then a byte at a time, for ever.
func drip(w http.ResponseWriter, _ *http.Request, head string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, head)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for err == nil {
		<-tick.C
		_, err = conn.Write([]byte("z"))
	}
}

// raw sends bytes and closes.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

func TestUnreachableEndpointsAreClassed(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, callback := range map[string]string{
		"refused": "http://" + closed.Addr().String(), "private": "http://10.1.2.3/", "TLS to plain": strings.Replace(plain.URL, "http", "https", 1),
		"unknown authority": secure.URL, "bad URL": "http://[::1",
	} {
		e, s, attempts := liveEngine(t, callback, App{Timeout: 10 * time.Second})
		e.enable(e.settings())
		post(e, s, 1)
		if a := <-attempts; a.Answer != "unreachable" {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

func TestHandshakeComparesTheBody(t *testing.T) {
	t.Parallel()
	var query atomic.Value
	for name, c := range map[string]struct {
		ok      bool
		handler http.HandlerFunc
	}{
		"echo": {true, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
		}},
		"echo and newline": {true, func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintln(w, r.URL.Query().Get("hub.challenge"))
		}},
		"OK": {false, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }},
		"403": {false, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
		}},
		"empty": {false, func(http.ResponseWriter, *http.Request) {}},
		"endless": {false, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("1", 1<<16)); err != nil {
					return
				}
			}
		}},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query.Store(r.URL.Query())
			c.handler(w, r)
		}))
		e, _, _ := liveEngine(t, srv.URL+"/hook?tenant=7", App{VerifyToken: "t&k"})
		if err := e.challenge(t.Context(), e.settings()); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		q, _ := query.Load().(url.Values)
		if q.Get("tenant") != "7" || q.Get("hub.verify_token") != "t&k" || q.Get("hub.mode") != "subscribe" {
			t.Errorf("%s: query %v", name, q)
		}
		srv.CloseClientConnections()
		srv.Close()
	}
}
