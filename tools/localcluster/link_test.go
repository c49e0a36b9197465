package localcluster

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon is enough for bytes on loopback; never is short, for what must not come.
const (
	soon  = 60 * time.Second
	never = 50 * time.Millisecond
)

// pair is the two ends of a connection through a link.
type pair struct {
	t         *testing.T
	link      *Link
	far       net.Listener
	near, end net.Conn
}

func newPair(t *testing.T) *pair {
	t.Helper()
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	link, err := newLink("a", "b", far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, far: far, link: link}
	t.Cleanup(func() { p.link.close(); _ = far.Close() })
	p.dial()
	if p.end, err = far.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.end.Close() })
	return p
}

func (p *pair) dial() {
	p.t.Helper()
	near, err := net.Dial("tcp", p.link.Address())
	if err != nil {
		p.t.Fatal(err)
	}
	p.near = near
	p.t.Cleanup(func() { _ = near.Close() })
}

// says checks that a byte sent at one end arrives at the other, or does not.
func (p *pair) says(from, to net.Conn, what string, arrives bool) {
	p.t.Helper()
	if _, err := from.Write([]byte(what)); err != nil {
		p.t.Fatal(err)
	}
	p.hears(to, what, arrives)
}

func (p *pair) hears(to net.Conn, what string, arrives bool) {
	p.t.Helper()
	wait := never
	if arrives {
		wait = soon
	}
	_ = to.SetReadDeadline(time.Now().Add(wait))
	got := make([]byte, len(what))
	_, err := io.ReadFull(to, got)
	switch {
	case arrives && (err != nil || string(got) != what):
		p.t.Errorf("got %q and %v, want %q", got, err, what)
	case !arrives && !errors.Is(err, os.ErrDeadlineExceeded):
		p.t.Errorf("got %q and %v through a way that is shut", got, err)
	}
}

func TestLinkHeldOneWayLetsTheOtherThrough(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.says(p.near, p.end, "a", true)
	p.link.Hold(true, false)
	p.says(p.near, p.end, "b", false)
	p.says(p.end, p.near, "c", true)
	p.link.Hold(false, true)
	p.hears(p.end, "b", true) // late, not lost
	p.says(p.end, p.near, "d", false)
	p.link.Mend()
	p.hears(p.near, "d", true)
}

func TestLinkHeldHidesTheEndOfAConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.link.Hold(true, true)
	_ = p.near.Close()
	p.hears(p.end, "x", false)
	p.link.Mend()
	_ = p.end.SetReadDeadline(time.Now().Add(soon))
	if _, err := p.end.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read after the other end closed: %v, want EOF", err)
	}
}

func TestLinkBrokenEndsAndRefusesConnections(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.link.Break()
	for _, c := range []net.Conn{p.near, p.end} {
		_ = c.SetReadDeadline(time.Now().Add(soon))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read on a broken link: %v, want the end of the connection", err)
		}
	}
	p.dial()
	_ = p.near.SetReadDeadline(time.Now().Add(soon))
	if _, err := p.near.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a broken link takes connections: %v", err)
	}
	p.link.Mend()
	p.dial()
	end, err := p.far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = end.Close() }()
	p.says(p.near, end, "e", true)
}

// Which way a cut shuts does not depend on who dialled.
func TestCutIsOfTheFirstProcess(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	c := &Cluster{Links: []*Link{p.link}}
	for _, test := range []struct {
		first, second string
		cut           Cut
		forth, back   bool // what passes
	}{
		{"a", "b", Mute, false, true},
		{"a", "b", Deaf, true, false},
		{"b", "a", Mute, true, false},
		{"b", "a", Deaf, false, true},
		{"b", "a", Silent, false, false},
		{"a", "b", Whole, true, true},
	} {
		c.Cut(test.first, test.second, test.cut)
		p.says(p.near, p.end, "f", test.forth)
		p.says(p.end, p.near, "g", test.back)
		c.Cut(test.first, test.second, Whole)
		if !test.forth {
			p.hears(p.end, "f", true)
		}
		if !test.back {
			p.hears(p.near, "g", true)
		}
	}
}
