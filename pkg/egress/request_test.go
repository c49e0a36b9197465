package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// seen keeps the names that were to be resolved.
type seen struct{ names chan string }

func (s seen) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	s.names <- host
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func TestInternationalNamesAreResolvedAsPunycode(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 1)
	s := server(t, func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	names := seen{make(chan string, 1)}
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1"), Resolver: names})
	if _, _, err := get(t, rt, "http://bücher.test:"+port); err != nil {
		t.Fatal(err)
	}
	if name, host := <-names.names, <-hosts; name != "xn--bcher-kva.test" || host != name+":"+port {
		t.Errorf("resolved %q, Host %q", name, host)
	}
}

func TestRequestsThatCannotBeSentAreRefused(t *testing.T) {
	t.Parallel()
	s := newScripted(t, listen(t), always(okAnswer))
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1")})
	for name, change := range map[string]func(*http.Request){
		"value":  func(r *http.Request) { r.Header["X-A"] = []string{"a\r\nX-B: c"} },
		"name":   func(r *http.Request) { r.Header["X A"] = []string{"b"} },
		"method": func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX:" },
		"host":   func(r *http.Request) { r.Host = "a\r\nX: b" },
		"scheme": func(r *http.Request) { r.URL.Scheme = "ftp" },
		"body":   func(r *http.Request) { r.ContentLength = 100 },
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr().String(), strings.NewReader("event"))
		change(req)
		resp, err := rt.RoundTrip(req)
		if err == nil {
			t.Errorf("%s: sent", name)
			_ = resp.Body.Close()
		}
	}
	if s.conns.Load() != 0 {
		t.Error("something was sent")
	}
}

// FuzzCompose: whatever is composed is one request, read back as it was meant by
// net/http, with nothing before, behind or between.
func FuzzCompose(f *testing.F) {
	f.Add("POST", "/hook?a=b", "app.test:80", "X-Hub-Signature", "sha1=00", []byte("{}"))
	f.Add("", "", "app.test", "Content-Length", "7", []byte(""))
	f.Add("GET", "/a b", "a", "Transfer-Encoding", "chunked", []byte("x"))
	f.Add("PUT", "/\r\n", "a b", "X", "a\r\nY: b", []byte("x"))
	f.Fuzz(func(t *testing.T, method, target, host, name, value string, body []byte) {
		req, err := http.NewRequest(method, "http://app.test", strings.NewReader(string(body)))
		if err != nil {
			return
		}
		if parsed, err := req.URL.Parse(target); err == nil && parsed.Host == "app.test" {
			req.URL = parsed
		}
		req.Host, req.Header = host, http.Header{name: {value}}
		out, err := compose(nil, req)
		if err != nil || host == "" {
			return
		}
		r := bufio.NewReader(strings.NewReader(string(out)))
		back, err := http.ReadRequest(r)
		if err != nil {
			if strings.Contains(req.URL.RequestURI(), " ") || strings.Contains(err.Error(), "malformed Host") {
				return // refused by the other end
			}
			t.Fatalf("%v: %q", err, out)
		}
		got, _ := io.ReadAll(back.Body)
		if back.Method != req.Method || string(got) != string(body) || back.RequestURI != req.URL.RequestURI() {
			t.Fatalf("%q", out)
		}
		if _, err := r.Peek(1); !errors.Is(err, io.EOF) {
			t.Fatalf("something follows: %q", out)
		}
		delete(back.Header, "Content-Length")
		if len(back.Header) > 1 || len(back.Header) == 1 && strings.TrimSpace(value) != back.Header.Get(name) {
			t.Fatalf("headers %v of %q", back.Header, out)
		}
	})
}
