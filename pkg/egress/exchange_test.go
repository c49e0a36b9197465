package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// scripted serves connections by hand: turn is called for each request, with the
// connection's number and the request's number on it, and returns what to write;
// false closes the connection then.
type scripted struct {
	net.Listener
	turn  func(conn, request int) (answer string, stay bool)
	conns atomic.Int32
	asked atomic.Int32
	mu    sync.Mutex
	open  []net.Conn
	done  sync.WaitGroup
}

func newScripted(t *testing.T, l net.Listener, turn func(conn, request int) (string, bool)) *scripted {
	t.Helper()
	s := &scripted{Listener: l, turn: turn}
	s.done.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open = append(s.open, c)
			s.mu.Unlock()
			n := int(s.conns.Add(1))
			s.done.Go(func() { s.serve(c, n) })
		}
	})
	t.Cleanup(func() {
		_ = s.Close()
		s.mu.Lock()
		for _, c := range s.open {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.done.Wait()
	})
	return s
}

func (s *scripted) serve(c net.Conn, n int) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	for k := 1; ; k++ {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		s.asked.Add(1)
		answer, stay := s.turn(n, k)
		_, _ = io.WriteString(c, answer)
		if !stay {
			return
		}
	}
}

// say writes on all open connections, as a server does that is asked nothing.
func (s *scripted) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.open {
		_, _ = io.WriteString(c, text)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// plainAndTLS runs a test over both.
func plainAndTLS(t *testing.T, test func(t *testing.T, l net.Listener, scheme string, p Policy)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		test(t, listen(t), "http://", Policy{Allow: allow(t, "127.0.0.1")})
	})
	t.Run("TLS", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		cert, key := a.issue(t, "server")
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		l := tls.NewListener(listen(t), &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}})
		test(t, l, "https://", Policy{Allow: allow(t, "127.0.0.1"), Credentials: Credentials{CA: a.pem}})
	})
}

func always(answer string) func(int, int) (string, bool) {
	return func(int, int) (string, bool) { return answer, true }
}

func TestConnectionsAreKeptIfTheAnswerAllowsIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer string
		conns  int32 // for three requests
	}{
		"length":          {okAnswer, 1},
		"no body":         {"HTTP/1.1 204 No Content\r\n\r\n", 1},
		"chunked":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1},
		"interim":         {"HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + okAnswer, 1},
		"500":             {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 1},
		"says close":      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 3},
		"HTTP/1.0":        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3},
		"two answers":     {okAnswer + "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 3},
		"bytes beyond":    {okAnswer + "k", 3},
		"body beyond 204": {"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Oh\r\n\r\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plainAndTLS(t, func(t *testing.T, l net.Listener, scheme string, p Policy) {
				t.Helper()
				s := newScripted(t, l, always(c.answer))
				rt := transport(t, p)
				for range 3 {
					status, _, err := get(t, rt, scheme+l.Addr().String())
					if err != nil || status == http.StatusInternalServerError && name != "500" {
						t.Errorf("%d, %v", status, err)
					}
				}
				if got := s.conns.Load(); got != c.conns {
					t.Errorf("%d connections, want %d", got, c.conns)
				}
			})
		})
	}
}

func TestUnreadBodyCostsTheConnection(t *testing.T) {
	t.Parallel()
	s := newScripted(t, listen(t), always(okAnswer))
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1")})
	for range 2 {
		if status, err := post(t, rt, "http://"+s.Addr().String()); err != nil || status != http.StatusOK { // post closes at once
			t.Fatalf("%d, %v", status, err)
		}
	}
	if s.conns.Load() != 2 {
		t.Errorf("%d connections", s.conns.Load())
	}
}

// What a server says without being asked is the answer to no request, whether it
// comes with an answer or later.
func TestWhatCameUnaskedIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, unasked := range map[string]string{
		"answer": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
		"byte":   "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plainAndTLS(t, func(t *testing.T, l net.Listener, scheme string, p Policy) {
				t.Helper()
				s := newScripted(t, l, always(okAnswer))
				rt := transport(t, p)
				for range 3 {
					if status, body, err := get(t, rt, scheme+l.Addr().String()); err != nil || status != http.StatusOK || body != "ok" {
						t.Errorf("%d %q, %v", status, body, err)
					}
					s.say(unasked)
				}
				if s.conns.Load() != 3 {
					t.Errorf("%d connections", s.conns.Load())
				}
			})
		})
	}
}

// A connection that was closed while it was idle carries no request.
func TestClosedWhileIdleIsNoticed(t *testing.T) {
	t.Parallel()
	plainAndTLS(t, func(t *testing.T, l net.Listener, scheme string, p Policy) {
		t.Helper()
		s := newScripted(t, l, func(int, int) (string, bool) { return okAnswer, false })
		rt := transport(t, p)
		for i := range int32(5) {
			if status, _, err := get(t, rt, scheme+l.Addr().String()); err != nil || status != http.StatusOK {
				t.Fatalf("%d, %v", status, err)
			}
			if s.asked.Load() != i+1 || s.conns.Load() != i+1 {
				t.Fatalf("%d requests on %d connections, want %d", s.asked.Load(), s.conns.Load(), i+1)
			}
		}
	})
}

// A kept connection that is closed under a request is worth one more try, on a
// new one; one that has begun to answer, or a new one, is not.
func TestStaleConnectionIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then  string // the answer to a second request on a connection, closed after it
		new   string // the answer on a second connection
		fails bool
		asked int32
	}{
		"closed":          {"", okAnswer, false, 3},
		"closed twice":    {"", "", true, 3},
		"begun to answer": {okAnswer[:10], okAnswer, true, 2},
		"not HTTP":        {"220 hi\r\n", okAnswer, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plainAndTLS(t, func(t *testing.T, l net.Listener, scheme string, p Policy) {
				t.Helper()
				s := newScripted(t, l, func(conn, request int) (string, bool) {
					switch {
					case conn > 1:
						return c.new, c.new != ""
					case request > 1:
						return c.then, false
					}
					return okAnswer, true
				})
				rt := transport(t, p)
				if _, _, err := get(t, rt, scheme+l.Addr().String()); err != nil {
					t.Fatal(err)
				}
				class := classed(t, rt, scheme+l.Addr().String(), 5*time.Second)
				if (class == ClassProtocol) != c.fails || s.asked.Load() != c.asked {
					t.Errorf("class %q after %d requests, want %d", class, s.asked.Load(), c.asked)
				}
			})
		})
	}
}

func TestCancellationInterruptsAnExchange(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"head": "", "half a head": "HTTP/1.1 20", "body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plainAndTLS(t, func(t *testing.T, l net.Listener, scheme string, p Policy) {
				t.Helper()
				ctx, cancel := context.WithCancel(t.Context())
				s := newScripted(t, l, func(int, int) (string, bool) {
					defer time.AfterFunc(20*time.Millisecond, cancel)
					return answer, true
				})
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, scheme+s.Addr().String(), strings.NewReader("event"))
				started := time.Now()
				resp, err := transport(t, p).RoundTrip(req)
				if err == nil {
					_, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				if ClassOf(err) != ClassCancelled || time.Since(started) > 4*time.Second {
					t.Errorf("class %q of %v after %v", ClassOf(err), err, time.Since(started))
				}
			})
		})
	}
}

// An endpoint may refuse a large request before it has read it.
func TestRefusalOfALargeRequestIsHeard(t *testing.T) {
	t.Parallel()
	url := raw(t, func(c net.Conn) { // raw reads on, but only after the answer
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
		<-t.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(strings.Repeat("x", 16<<20)))
	resp, err := transport(t, Policy{Allow: allow(t, "127.0.0.1")}).RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

func TestLargeRequestsArrive(t *testing.T) {
	t.Parallel()
	var got atomic.Int64
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Store(n)
	})
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1")})
	for _, size := range []int{0, 1, writtenAtOnce - 200, writtenAtOnce, writtenAtOnce + 1, 3 << 20} {
		body := io.Reader(strings.NewReader(strings.Repeat("x", size)))
		for range 2 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL, body)
			resp, err := rt.RoundTrip(req)
			if err != nil || got.Load() != int64(size) {
				t.Fatalf("%d bytes: %d arrived, %v", size, got.Load(), err)
			}
			_ = resp.Body.Close()
			body = struct{ io.Reader }{strings.NewReader(strings.Repeat("x", size))} // of unknown length
		}
	}
}

func TestConnectionsToAnOriginAreBounded(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int32
	release := make(chan struct{})
	s := server(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		<-release
		now.Add(-1)
	})
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1"), MaxConns: 2})
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if _, _, err := get(t, rt, s.URL); err != nil {
				t.Error(err)
			}
		})
	}
	settle(t, func() string { return map[bool]string{true: "not both are in use"}[now.Load() < 2] })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	resp, err := rt.RoundTrip(req)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v while all are in use", resp, err)
		_ = resp.Body.Close()
	}
	close(release)
	all.Wait()
	if most.Load() != 2 {
		t.Errorf("%d at once", most.Load())
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{}, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	rt := transport(t, Policy{Allow: allow(t, "127.0.0.1"), IdleTimeout: 30 * time.Millisecond})
	for range 2 { // the timer is set anew
		if _, _, err := get(t, rt, s.URL); err != nil {
			t.Fatal(err)
		}
		<-closed
	}
	if _, _, err := get(t, rt, s.URL); err != nil {
		t.Fatal(err)
	}
	rt.CloseIdleConnections()
	<-closed
	rt.pool.mu.Lock()
	defer rt.pool.mu.Unlock()
	if len(rt.pool.mu.sites) != 0 {
		t.Errorf("%d sites are remembered", len(rt.pool.mu.sites))
	}
}
