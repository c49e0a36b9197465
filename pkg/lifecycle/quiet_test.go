package lifecycle

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// quietWorld is a server with quiet connections. Its handler answers with the
// length of the body; /wait waits for the end of the request's context, /leave
// leaves the body, /large answers more than the socket holds.
type quietWorld struct {
	url     string
	accepts chan net.Conn // what was accepted, as the server sees it
	begun   chan struct{}
	ended   chan error // of the contexts of /wait
	stop    func() error
}

// noted passes on what it accepts.
type noted struct {
	net.Listener
	accepts chan net.Conn
}

func (l noted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepts <- c
	}
	return c, err
}

func newQuietWorld(t *testing.T, change func(*http.Server)) *quietWorld {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &quietWorld{url: ln.Addr().String(), accepts: make(chan net.Conn, 8), begun: make(chan struct{}, 8), ended: make(chan error, 8)}
	server := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute}
	if change != nil {
		change(server)
	}
	ctx, cancel := context.WithCancel(context.Background()) // ended by stop
	done := make(chan error, 1)
	go func() { done <- ServeHTTP(ctx, server, noted{Quiet(server, ln), w.accepts}, time.Millisecond) }()
	w.stop = func() error {
		cancel()
		err := <-done
		done <- nil
		return err
	}
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *quietWorld) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/leave":
		_, _ = io.WriteString(out, "left")
	case "/large":
		_, _ = io.WriteString(out, strings.Repeat("x", 8<<20))
	default:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/wait" {
			w.begun <- struct{}{}
			<-r.Context().Done()
			w.ended <- r.Context().Err()
		}
		_, _ = fmt.Fprintf(out, "%d %s", len(body), r.Header.Get("X-Mark"))
	}
}

// endedContext waits for the end of a context of /wait.
func (w *quietWorld) endedContext(t *testing.T) {
	t.Helper()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// spoken is a client's connection.
type spoken struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (w *quietWorld) dial(t *testing.T) *spoken {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &spoken{t, c, bufio.NewReader(c)}
}

func (s *spoken) say(text ...string) {
	s.t.Helper()
	for _, part := range text {
		if _, err := io.WriteString(s, part); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *spoken) hears(want string) {
	s.t.Helper()
	resp, err := http.ReadResponse(s.r, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || string(body) != want {
		s.t.Fatalf("%d %.60q, %v; want %.60q", resp.StatusCode, body, err, want)
	}
}

// closed waits for the server to close the connection without another word.
func (s *spoken) closed() {
	s.t.Helper()
	if b, err := s.r.ReadByte(); !errors.Is(err, io.EOF) {
		s.t.Fatalf("%q, %v in place of the end", b, err)
	}
}

// await waits until done says so.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what + " never")
		}
	}
}

func posted(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

const got = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// TestQuietConnectionsSpeakHTTP says to a quiet server what clients say, whole,
// in pieces, and ahead of the answers.
func TestQuietConnectionsSpeakHTTP(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("m", 5000)
	marked := "GET / HTTP/1.1\r\nHost: h\r\nX-Mark: " + long + "\r\n\r\n"
	tests := map[string]struct {
		says []string
		want []string
	}{
		"one after the other": {[]string{got, posted("/", "abc"), got}, []string{"0 ", "3 ", "0 "}},
		"ahead of the answer": {[]string{got + posted("/", "abc") + got + posted("/", "z")}, []string{"0 ", "3 ", "0 ", "1 "}},
		"byte for byte":       {strings.Split(posted("/", "abc")+got, ""), []string{"3 ", "0 "}},
		"a line longer than the buffer": {
			[]string{marked, marked[:4095], marked[4095:], marked[:4096], marked[4096:]}, []string{"0 " + long, "0 " + long, "0 " + long},
		},
		"a body that nobody reads": {[]string{posted("/leave", strings.Repeat("b", 100_000)), got}, []string{"left", "0 "}},
		"chunks": {
			[]string{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1\r\nd\r\n0\r\n", "\r\n", got}, []string{"4 ", "0 "},
		},
		"a large answer":  {[]string{posted("/large", "abc"), got}, []string{strings.Repeat("x", 8<<20), "0 "}},
		"spare new lines": {[]string{posted("/", "abc") + "\r\n\r\n" + got}, []string{"3 ", "0 "}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newQuietWorld(t, nil).dial(t)
			said := make(chan struct{})
			go func() { defer close(said); s.say(test.says...) }()
			for _, want := range test.want {
				s.hears(want)
			}
			<-said
			s.say("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			s.hears("0 ")
			s.closed()
		})
	}
}

// underWay is a client whose request is being answered, and its connection.
func (w *quietWorld) underWay(t *testing.T) (*spoken, *quietConn) {
	t.Helper()
	s := w.dial(t)
	s.say(posted("/wait", "abc"))
	<-w.begun
	c, ok := (<-w.accepts).(*quietConn)
	if !ok {
		t.Fatal("the connection is not quiet")
	}
	return s, c
}

// TestQuietConnectionsRest: while a request is answered nothing is read, and
// when it is answered nobody looks after the client any more.
func TestQuietConnectionsRest(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t, nil)
	s, c := w.underWay(t)
	await(t, "the connection rests", c.resting.Load)
	c.glance()
	c.cancel() // as a glance that finds the client gone
	w.endedContext(t)
	s.hears("3 ")
	await(t, "the connection waits for a request", func() bool { return !c.resting.Load() })
	if c.timer.Stop() {
		t.Error("somebody looks after a client that waits for nothing")
	}
}

// TestQuietServerNoticesThatClientsGo: the context of a request ends when its
// client closes the connection, resets it, or will say nothing more; not before.
func TestQuietServerNoticesThatClientsGo(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*net.TCPConn) error{
		"close":      (*net.TCPConn).Close,
		"half-close": (*net.TCPConn).CloseWrite,
		"reset":      func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newQuietWorld(t, nil)
			s, c := w.underWay(t)
			if c.gone() {
				t.Error("gone before it went")
			}
			if tcp, ok := s.Conn.(*net.TCPConn); !ok || leave(tcp) != nil {
				t.Fatal("the client cannot leave")
			}
			w.endedContext(t)
		})
	}
}

// TestQuietServerKeepsWhatIsSaidMeanwhile: a glance takes nothing of the next
// request away.
func TestQuietServerKeepsWhatIsSaidMeanwhile(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t, nil)
	s, c := w.underWay(t)
	s.say(posted("/", "next"))
	for range 3 {
		if c.gone() {
			t.Error("gone with a request under way")
		}
	}
	c.cancel()
	s.hears("3 ")
	s.hears("4 ")
}

// TestQuietServerEnds: what is under way at the end is cut off, its context ends.
func TestQuietServerEnds(t *testing.T) {
	t.Parallel()
	w := newQuietWorld(t, nil)
	s := w.dial(t)
	idle := w.dial(t)
	idle.say(got)
	idle.hears("0 ")
	s.say(posted("/wait", "abc"))
	<-w.begun
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	w.endedContext(t)
	idle.closed()
	if _, err := s.r.ReadByte(); err == nil {
		t.Error("an answer after the end")
	}
}

// TestQuietConnectionsKeepDeadlines: a header that does not come, and a
// connection without requests, are given up.
func TestQuietConnectionsKeepDeadlines(t *testing.T) {
	t.Parallel()
	const short = 50 * time.Millisecond
	newQuietWorld(t, func(s *http.Server) { s.ReadHeaderTimeout = short }).dial(t).closed()
	idle := newQuietWorld(t, func(s *http.Server) { s.IdleTimeout = short }).dial(t)
	idle.say(posted("/", "abc"))
	idle.hears("3 ")
	idle.closed()
}

// TestQuietServerSpeaksTLS: over TLS a client's leaving is heard as ever.
func TestQuietServerSpeaksTLS(t *testing.T) {
	t.Parallel()
	borrowed := httptest.NewUnstartedServer(nil)
	borrowed.StartTLS()
	defer borrowed.Close()
	w := newQuietWorld(t, func(s *http.Server) {
		s.TLSConfig = &tls.Config{Certificates: borrowed.TLS.Certificates, MinVersion: tls.VersionTLS13}
	})
	s := w.dial(t)
	s.Conn = tls.Client(s.Conn, &tls.Config{InsecureSkipVerify: true})
	s.r = bufio.NewReader(s.Conn)
	s.say(got, posted("/", "abc"))
	s.hears("0 ")
	s.hears("3 ")
	s.say(posted("/wait", "abc"))
	<-w.begun
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	w.endedContext(t)
}
