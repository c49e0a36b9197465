package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// raw serves a TCP port: serve gets each connection, after the request's head
// was read, and closes nothing.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
				}
				serve(conn)
				_, _ = io.Copy(io.Discard, r) // until the client goes
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

func say(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// drip writes the head and then a byte now and then until the client goes.
func drip(c net.Conn) {
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
	for range time.Tick(20 * time.Millisecond) {
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}

// endless repeats text after a head until the client goes.
func endless(head, text string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for err == nil {
			_, err = io.WriteString(c, text)
		}
	}
}

// classed posts once, reads the answer to its end and classes what came of it.
func classed(t *testing.T, rt *RoundTripper, url string, within time.Duration) Class {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"object":"page"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return ClassOf(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return ClassOf(err)
	}
	return ClassOfStatus(resp.StatusCode)
}

// badEndpoints are endpoints that misbehave, with the class of each.
func badEndpoints(t *testing.T) map[string]struct {
	url  string
	want Class
} {
	t.Helper()
	stale := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	stale.Config.ErrorLog = log.New(io.Discard, "", 0)
	stale.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	stale.StartTLS()
	t.Cleanup(stale.Close)
	unknown := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	unknown.Config.ErrorLog = log.New(io.Discard, "", 0)
	unknown.StartTLS()
	t.Cleanup(unknown.Close)
	closed := raw(t, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	_ = l.Close()
	return map[string]struct {
		url  string
		want Class
	}{
		"name unknown":          {"http://unknown.test/", ClassDNS},
		"private address":       {"http://10.1.2.3/", ClassDenied},
		"name of a private one": {"http://private.test/", ClassDenied},
		"nobody listens":        {nobody, ClassConnect},
		"TLS 1.1":               {stale.URL, ClassTLS},
		"unknown authority":     {unknown.URL, ClassTLS},
		"TLS against plain":     {strings.Replace(closed, "http:", "https:", 1), ClassTLS},
		"hangs":                 {raw(t, func(net.Conn) {}), ClassTimeout},
		"half a head":           {raw(t, say("HTTP/1.1 200 OK\r\nX-Half")), ClassTimeout},
		"drips":                 {raw(t, drip), ClassTimeout},
		"endless body":          {raw(t, endless("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096))), ClassTooLarge},
		"endless chunks":        {raw(t, endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("4\r\nabcd\r\n", 400))), ClassTooLarge},
		"endless head":          {raw(t, endless("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("x", 1000)+"\r\n")), ClassTooLarge},
		"endless 1xx":           {raw(t, endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), ClassTooLarge},
		"switches protocols":    {raw(t, say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")), ClassProtocol},
		"no HTTP":               {raw(t, say("220 mail.test ESMTP\r\n")), ClassProtocol},
		"broken chunk":          {raw(t, say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")), ClassProtocol},
		"hangs up":              {raw(t, func(c net.Conn) { _ = c.Close() }), ClassProtocol},
		"cut body": {raw(t, func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			_ = c.Close()
		}), ClassProtocol},
		"redirects":       {raw(t, say("HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), ClassRedirect},
		"server error":    {raw(t, say("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), ClassStatus},
		"unknown status":  {raw(t, say("HTTP/1.1 999 Oh\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), ClassStatus},
		"200 and garbage": {raw(t, say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n\x00\xff\xfe\x01")), ClassNone},
	}
}

// names resolves the names of these tests.
type names map[string]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return []netip.Addr{a}, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// Every failure of an endpoint is bounded and has its class; afterwards nothing
// of it is left: no goroutine, no descriptor. Not parallel: descriptors are
// counted.
func TestBadEndpointsAreClassedAndLeaveNothing(t *testing.T) { //nolint:paralleltest // counts descriptors
	endpoints := badEndpoints(t)
	policy := Policy{
		Allow: allow(t, "127.0.0.1"), Resolver: names{"private.test": netip.MustParseAddr("192.168.1.1")},
		MaxConns: 2, ConnectTimeout: 2 * time.Second,
	}
	rt := transport(t, policy)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	for name, e := range endpoints {
		for range 3 {
			started, within := time.Now(), 5*time.Second
			if e.want == ClassTimeout {
				within = 200 * time.Millisecond
			}
			if got := classed(t, rt, e.url, within); got != e.want {
				t.Errorf("%s: %q, want %q", name, got, e.want)
			}
			if took := time.Since(started); took > 6*time.Second {
				t.Errorf("%s took %v", name, took)
			}
		}
	}
	rt.CloseIdleConnections()
	settle(t, func() string {
		if g, f := runtime.NumGoroutine(), descriptors(t); g > goroutines || f > files {
			return fmt.Sprintf("%d goroutines and %d descriptors, %d and %d before", g, f, goroutines, files)
		}
		return ""
	})
}

// descriptors counts the open files of the process.
func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc here")
	}
	return len(list)
}

// settle waits until check finds nothing wrong.
func settle(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(wrong)
		}
	}
}

func TestClassesSayWhoIsToBlame(t *testing.T) {
	t.Parallel()
	if c := ClassOf(fmt.Errorf("%w: %w", ErrToken, failed(ClassProxy, ErrProxy))); c != ClassProxy || c.Charged() {
		t.Errorf("a token behind a broken proxy: %q", c)
	}
	if c := ClassOf(fmt.Errorf("%w: %w", ErrToken, failed(ClassTLS, errors.New("bad")))); c != ClassToken || !c.Charged() || !c.Unreachable() {
		t.Errorf("a token endpoint with bad TLS: %q", c)
	}
	if c := ClassOf(nil); c != ClassNone || c.Charged() {
		t.Errorf("no error: %q", c)
	}
	for _, c := range []Class{ClassTimeout, ClassTooLarge, ClassProtocol, ClassRedirect, ClassStatus} {
		if c.Unreachable() || !c.Charged() {
			t.Errorf("%q reached the endpoint", c)
		}
	}
	for status, want := range map[int]Class{204: ClassNone, 301: ClassRedirect, 304: ClassStatus, 101: ClassStatus, 410: ClassStatus} {
		if got := ClassOfStatus(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}
