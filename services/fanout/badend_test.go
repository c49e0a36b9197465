package fanout

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// descriptors counts this process's open files.
func descriptors(tb testing.TB) int {
	tb.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Skip("no /proc/self/fd to count descriptors in")
	}
	return len(list)
}

// misdeeds are endpoints that do not behave, with the class of what comes of it.
func misdeeds() map[string]struct {
	want    string
	handler http.HandlerFunc
} {
	type deed = struct {
		want    string
		handler http.HandlerFunc
	}
	endless := strings.Repeat("x", 1<<14)
	return map[string]deed{
		"hangs": {"timeout", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}},
		"drips its header": {"timeout", func(w http.ResponseWriter, r *http.Request) { drip(w, r, "HTTP/1.1 200 OK\r\nX-Slow: ") }},
		"drips its body": {"taken", func(w http.ResponseWriter, r *http.Request) {
			drip(w, r, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
		}},
		"never ends": {"taken", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, endless); err != nil {
					return
				}
			}
		}},
		"garbage": {"taken", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x00\xff<html>") }},
		"redirects": {"failed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
		}},
		"304": {"failed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) }},
		"102 and 200": {"taken", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusProcessing)
			_, _ = io.WriteString(w, "ok")
		}},
		"101": {"broken", func(w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		}},
		"no HTTP": {"broken", func(w http.ResponseWriter, _ *http.Request) { raw(w, "SSH-2.0-nope\r\n") }},
		"closes":  {"broken", func(w http.ResponseWriter, _ *http.Request) { raw(w, "") }},
		"endless header": {"broken", func(w http.ResponseWriter, _ *http.Request) {
			raw(w, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("y", 1<<17)+"\r\n\r\n")
		}},
		"only 1xx": {"broken", func(w http.ResponseWriter, _ *http.Request) {
			raw(w, strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", 1<<13))
		}},
		"half":      {"broken", func(w http.ResponseWriter, _ *http.Request) { raw(w, "HTTP/1.1 20") }},
		"status 99": {"broken", func(w http.ResponseWriter, _ *http.Request) { raw(w, "HTTP/1.1 99 Low\r\n\r\n") }},
	}
}

// TestMisbehavingEndpointsLeaveNothingBehind: many POSTs to each of them, two at
// once; every one ends in time and in its class, and neither a goroutine nor a
// descriptor is left.
func TestMisbehavingEndpointsLeaveNothingBehind(t *testing.T) { //nolint:paralleltest // it counts descriptors
	files, routines := descriptors(t), runtime.NumGoroutine()
	for name, c := range misdeeds() {
		srv := httptest.NewServer(c.handler)
		timeout := 100 * time.Millisecond
		if c.want != "timeout" {
			timeout = 2 * time.Second // what is not a matter of time must not become one on a busy machine
		}
		e, s, attempts := liveEngine(t, srv.URL, App{Timeout: timeout, MaxInFlight: 2, MaxBatch: 1})
		e.enable(e.settings())
		const posts = 4 // below what opens the breaker
		for p := range control.Position(posts) {
			post(e, s, p+1)
		}
		for range posts {
			select {
			case a := <-attempts:
				if a.Answer != c.want || a.Took > 5*time.Second {
					t.Errorf("%s: %+v, want %s", name, a, c.want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: a worker is stuck", name)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		e.drain(ctx)
		cancel()
		srv.CloseClientConnections()
		srv.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for descriptors(t) > files || runtime.NumGoroutine() > routines {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors after %d, %d goroutines after %d", descriptors(t), files, runtime.NumGoroutine(), routines)
		}
		runtime.Gosched()
	}
}

// moving resolves a name to one address after the other.
type moving struct {
	to atomic.Pointer[netip.Addr]
}

func (m *moving) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{*m.to.Load()}, nil
}

// TestChangedAddressIsJudgedAnew: a callback whose name moves to an address that
// may not be reached gets nothing more, and what it missed once it has moved
// back.
func TestChangedAddressIsJudgedAnew(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		w.Header().Set("Connection", "close") // the next POST resolves again
	}))
	t.Cleanup(srv.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	names := &moving{}
	public, private := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.1.2.3")
	names.to.Store(&public)
	allow, err := egress.ParseAllow([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	e, s, attempts := liveEngine(t, fmt.Sprintf("http://moving.test:%s/", port), App{})
	e.configure(e.settings(), egress.Transport(egress.Policy{Allow: allow, Resolver: names}))
	e.enable(e.settings())
	post(e, s, 1)
	if a := <-attempts; a.Answer != "taken" {
		t.Fatalf("%+v", a)
	}
	names.to.Store(&private)
	post(e, s, 2)
	if a := <-attempts; a.Answer != "unreachable" {
		t.Fatalf("%+v", a)
	}
	names.to.Store(&public)
	if a := <-attempts; a.Answer != "taken" || hits.Load() != 2 {
		t.Fatalf("%+v, %d hits", a, hits.Load())
	}
}
