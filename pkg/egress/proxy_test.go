package egress

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// connectProxy is an HTTP proxy that tunnels: it answers CONNECT with status,
// and for 200 carries the bytes to wherever to says.
type connectProxy struct {
	net.Listener
	status   int
	user     string                            // Proxy-Authorization it wants; "" for none
	to       func(target string) (addr string) // nil: the target itself
	tunnels  atomic.Int32
	mu       sync.Mutex
	asked    []string
	sessions sync.WaitGroup
}

func newConnectProxy(t *testing.T, p *connectProxy) *connectProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if p.Listener == nil {
		p.Listener = l
	} else {
		_ = l.Close()
	}
	go func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			p.sessions.Go(func() { p.serve(conn) })
		}
	}()
	t.Cleanup(func() { _ = p.Close(); p.sessions.Wait() })
	return p
}

func (p *connectProxy) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Method+" "+req.Host)
	p.mu.Unlock()
	switch {
	case req.Method != http.MethodConnect:
		_, _ = io.WriteString(conn, "HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
		return
	case p.user != "" && req.Header.Get("Proxy-Authorization") != p.user:
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
		return
	case p.status != 0 && p.status != http.StatusOK:
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n", p.status)
		return
	}
	p.carry(conn, r, req.Host)
}

func (p *connectProxy) carry(conn net.Conn, r io.Reader, target string) {
	if p.to != nil {
		target = p.to(target)
	}
	up, err := net.Dial("tcp", target)
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.tunnels.Add(1)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, r); _ = up.Close() })
	both.Go(func() { _, _ = io.Copy(conn, up); _ = conn.Close() })
	both.Wait()
}

func proxyTo(t *testing.T, o ProxyOptions) *Proxy {
	t.Helper()
	p, err := NewProxy(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEverythingGoesThroughTheProxy(t *testing.T) {
	t.Parallel()
	plain := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "plain") })
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secure") }))
	t.Cleanup(secure.Close)
	servers := map[string]string{"app.test:80": plain.Listener.Addr().String(), "example.com:443": secure.Listener.Addr().String()}
	px := newConnectProxy(t, &connectProxy{user: "Basic ZWdyZXNzOnMzY3JldA==", to: func(target string) string { return servers[target] }})
	rt := transport(t, Policy{
		Proxy:    proxyTo(t, ProxyOptions{URL: "http://" + px.Addr().String(), User: "egress", Password: "s3cret"}),
		TLS:      rootsOf(t, secure),
		Resolver: names{}, // names are the proxy's to resolve
	})
	for url, want := range map[string]string{"http://app.test/": "plain", "https://example.com/": "secure"} {
		status, body, err := get(t, rt, url)
		if err != nil || status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q %v", url, status, body, err)
		}
	}
	if px.tunnels.Load() != 2 {
		t.Errorf("%d tunnels: %v", px.tunnels.Load(), px.asked)
	}
}

// rootsOf trusts a test server's certificate.
func rootsOf(t *testing.T, s *httptest.Server) *tls.Config {
	t.Helper()
	tr, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("httptest's client has another transport")
	}
	return tr.TLSClientConfig
}

func TestFailuresOfTheProxyAreNotTheEndpoints(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := gone.Addr().String()
	_ = gone.Close()
	silent := strings.TrimPrefix(raw(t, func(net.Conn) {}), "http://")
	babbler := strings.TrimPrefix(raw(t, say("HTTP/1.1 200 OK\r\n\r\nhello")), "http://")
	flood := strings.TrimPrefix(raw(t, endless("HTTP/1.1 200 OK\r\n", "X: y\r\n")), "http://")
	status := func(code int) string { return newConnectProxy(t, &connectProxy{status: code}).Addr().String() }
	wants := newConnectProxy(t, &connectProxy{user: "Basic other"}).Addr().String()
	fails := newConnectProxy(t, &connectProxy{to: func(string) string { return nobody }}).Addr().String()
	for name, c := range map[string]struct {
		proxy string
		want  Class
	}{
		"nobody listens":      {"http://" + nobody, ClassProxy},
		"never answers":       {"http://" + silent, ClassProxy},
		"speaks first":        {"http://" + babbler, ClassProxy},
		"endless head":        {"http://" + flood, ClassProxy},
		"407":                 {"http://" + wants, ClassProxy},
		"502 from CONNECT":    {"http://" + fails, ClassProxy},
		"503":                 {"http://" + status(503), ClassProxy},
		"refuses the target":  {"http://" + status(403), ClassDenied},
		"TLS against a plain": {"https://" + wants, ClassProxy},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rt := transport(t, Policy{
				Proxy:          proxyTo(t, ProxyOptions{URL: c.proxy, User: "me", Password: "p"}),
				ConnectTimeout: 300 * time.Millisecond,
			})
			got := classed(t, rt, "http://app.test/", 5*time.Second)
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if got == ClassProxy && got.Charged() {
				t.Error("charged to the app")
			}
		})
	}
}

// The endpoint's own failures stay its own behind a proxy.
func TestEndpointsBehindTheProxyKeepTheirClasses(t *testing.T) {
	t.Parallel()
	hangs := strings.TrimPrefix(raw(t, func(net.Conn) {}), "http://")
	px := newConnectProxy(t, &connectProxy{to: func(string) string { return hangs }})
	rt := transport(t, Policy{Proxy: proxyTo(t, ProxyOptions{URL: "http://" + px.Addr().String()}), ConnectTimeout: 100 * time.Millisecond})
	for url, want := range map[string]Class{
		"http://app.test/":       ClassTimeout,
		"https://app.test/":      ClassTLS,
		"http://169.254.169.254": ClassDenied,
		"http://[::1]:80/":       ClassDenied,
	} {
		if got := classed(t, rt, url, 300*time.Millisecond); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	if rt := transport(t, Policy{Allow: Allow{}, Resolver: names{"a.test": netip.MustParseAddr("127.0.0.1")}}); classed(t, rt, "http://a.test/", time.Second) != ClassDenied {
		t.Error("without a proxy the address is judged here")
	}
}

func TestWrongProxiesAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"proxy:3128", "socks5://proxy:1080", "http://", "http://u:secretpw@proxy", "http://proxy/path", "http://proxy?x=1"} {
		_, err := NewProxy(ProxyOptions{URL: s})
		if err == nil || strings.Contains(err.Error(), "secretpw") {
			t.Errorf("%s: %v", s, err)
		}
	}
	if p, err := NewProxy(ProxyOptions{}); p != nil || err != nil {
		t.Errorf("no proxy: %v, %v", p, err)
	}
}
