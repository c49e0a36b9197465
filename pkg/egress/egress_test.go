package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func allow(tb testing.TB, list ...string) Allow {
	tb.Helper()
	a, err := ParseAllow(list)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestSpecialAddressesAreDenied(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"10.0.0.1", "172.16.3.4", "192.168.1.1", "127.0.0.1", "127.8.8.8", "169.254.1.1", "169.254.169.254",
		"100.64.0.1", "100.100.100.200", "0.0.0.0", "192.0.0.192", "168.63.129.16", "224.0.0.1", "255.255.255.255",
		"198.18.0.1", "192.88.99.1", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2002:7f00:1::",
		"64:ff9b::7f00:1", "64:ff9b:1::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2001::1", "fec0::1",
		"fe80::1%lo", "::ffff:0:127.0.0.1",
	} {
		if err := (Allow{}).Check(netip.MustParseAddr(s)); !errors.Is(err, ErrAddressDenied) {
			t.Errorf("%s: %v, want denied", s, err)
		}
	}
	for _, s := range []string{"1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if err := (Allow{}).Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v, want allowed", s, err)
		}
	}
}

func TestAllowListIsTheOnlyException(t *testing.T) {
	t.Parallel()
	a := allow(t, "10.1.0.0/16", "127.0.0.1", "::ffff:192.168.0.0/112", "fd00::/8")
	for s, want := range map[string]bool{
		"10.1.2.3": true, "10.2.0.1": false, "127.0.0.1": true, "127.0.0.2": false, "::ffff:10.1.0.9": true,
		"192.168.7.7": true, "fd12::1": true, "169.254.169.254": false,
	} {
		if got := a.Check(netip.MustParseAddr(s)) == nil; got != want {
			t.Errorf("%s allowed %v, want %v", s, got, want)
		}
	}
}

func TestWrongAllowListNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := ParseAllow([]string{"10.0.0.0/99", "nonsense", "host:0", "host:99999", ":80", "ok.test:80"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range []string{"10.0.0.0/99", "nonsense", "host:0", "host:99999", `":80"`} {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not named in %v", s, err)
		}
	}
	if strings.Contains(err.Error(), "ok.test") {
		t.Errorf("a good element is named in %v", err)
	}
}

// get returns the status and the body that could be read.
func get(t *testing.T, rt http.RoundTripper, url string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func transport(t *testing.T, p Policy) *RoundTripper {
	t.Helper()
	rt := Transport(p)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

func TestLoopbackIsReachedOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	s := server(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	if _, _, err := get(t, transport(t, Policy{}), s.URL); !errors.Is(err, ErrAddressDenied) {
		t.Fatalf("err %v, want denied", err)
	}
	if hits.Load() != 0 {
		t.Fatal("the server was reached")
	}
	for _, list := range [][]string{{"127.0.0.0/8"}, {strings.TrimPrefix(s.URL, "http://")}} {
		if _, _, err := get(t, transport(t, Policy{Allow: allow(t, list...)}), s.URL); err != nil {
			t.Fatalf("%v: %v", list, err)
		}
	}
}

// rebinding answers a public address first and a private one from then on: the
// attack on checks that resolve a name once to judge it and once to dial it.
type rebinding struct {
	calls atomic.Int32
	first netip.Addr
	then  netip.Addr
}

func (r *rebinding) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if r.calls.Add(1) == 1 {
		return []netip.Addr{r.first}, nil
	}
	return []netip.Addr{r.then}, nil
}

func TestRebindingNamesReachOnlyWhatWasJudged(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	s := server(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	// 127.0.0.2 plays the public address: allowed by the policy, nobody
	// listens there. 127.0.0.1 is the target that may not be reached.
	r := &rebinding{first: netip.MustParseAddr("127.0.0.2"), then: netip.MustParseAddr("127.0.0.1")}
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.2/32"), Resolver: r})
	if _, _, err := get(t, rt, "http://rebind.test:"+port+"/"); err == nil || errors.Is(err, ErrAddressDenied) {
		t.Fatalf("first: %v, want a refused connection", err)
	}
	if got := r.calls.Load(); got != 1 {
		t.Fatalf("resolved %d times for one dial, want 1", got)
	}
	if _, _, err := get(t, rt, "http://rebind.test:"+port+"/"); !errors.Is(err, ErrAddressDenied) {
		t.Fatalf("second: %v, want denied", err)
	}
	if hits.Load() != 0 {
		t.Fatal("the private address was reached")
	}
}

// fixed resolves every name to its addresses.
type fixed []netip.Addr

func (f fixed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return f, nil }

func TestDeniedAddressesOfANameAreLeftOut(t *testing.T) {
	t.Parallel()
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	mixed := fixed{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1")}
	if _, _, err := get(t, transport(t, Policy{Allow: allow(t, "127.0.0.1"), Resolver: mixed}), "http://mixed.test:"+port); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, transport(t, Policy{Resolver: fixed{}}), "http://nowhere.test"); err == nil {
		t.Fatal("a name without addresses was dialled")
	}
}

func TestAllowedHostMayResolvePrivately(t *testing.T) {
	t.Parallel()
	s := server(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	rt := transport(t, Policy{Allow: allow(t, "Inbox.Internal:"+port), Resolver: fixed{netip.MustParseAddr("127.0.0.1")}})
	if _, _, err := get(t, rt, "http://inbox.internal:"+port); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(t, rt, "http://other.internal:"+port); !errors.Is(err, ErrAddressDenied) {
		t.Fatalf("another host: %v, want denied", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	status, _, err := get(t, transport(t, Policy{Allow: allow(t, "127.0.0.1")}), s.URL)
	if err != nil || status != http.StatusFound || hits.Load() != 1 {
		t.Fatalf("status %d after %d requests, %v", status, hits.Load(), err)
	}
}

func TestResponsesAreCapped(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		n := 100
		if r.URL.Path == "/long" {
			n = 101
		}
		_, _ = io.WriteString(w, strings.Repeat("x", n))
	})
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1"), MaxResponseBytes: 100})
	for path, want := range map[string]error{"/": nil, "/long": ErrResponseTooLarge} {
		_, body, err := get(t, rt, s.URL+path)
		if !errors.Is(err, want) || len(body) != 100 {
			t.Errorf("%s: %d bytes, %v, want 100, %v", path, len(body), err, want)
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	plain, ok := s.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("httptest's client has another transport")
	}
	roots := plain.TLSClientConfig.Clone()
	roots.MinVersion = tls.VersionTLS10
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1"), TLS: roots})
	if _, _, err := get(t, rt, s.URL); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Fatalf("err %v, want a refused version", err)
	}
}

func TestEndpointThatNeverAnswersIsLeftAtTheDeadline(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	resp, err := transport(t, Policy{Allow: allow(t, "127.0.0.1")}).RoundTrip(req)
	if resp != nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("err %v, want the deadline", err)
	}
}

func FuzzParseAllow(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "h:1", "[::1]:80", "::ffff:1.2.3.4/120", "", "a/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAllow([]string{s})
		if err == nil && len(a.prefixes)+len(a.hosts) != 1 {
			t.Fatalf("%q: %d prefixes, %d hosts", s, len(a.prefixes), len(a.hosts))
		}
	})
}
