package localcluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Link is the way of one process to another: a port that passes connections on,
// and that can be cut. Safe for concurrent use.
type Link struct {
	// From dials To.
	From, To string

	target   string
	listener net.Listener
	crew     sync.WaitGroup

	mu struct {
		sync.Mutex
		closed  bool
		refuses bool              // connections are refused
		conns   map[net.Conn]bool // both ends of all that are open
		forth   chan struct{}     // closed while bytes pass from From to To
		back    chan struct{}     // closed while they pass the other way
	}
}

// newLink takes a port for the way to a target; it passes connections on from
// then on, until close.
func newLink(from, to, target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, err
	}
	l := &Link{From: from, To: to, target: target, listener: listener}
	l.mu.conns, l.mu.forth, l.mu.back = map[net.Conn]bool{}, opened(), opened()
	l.crew.Go(l.serve)
	return l, nil
}

// Address is where From reaches To.
func (l *Link) Address() string { return l.listener.Addr().String() }

// Hold stops what goes one way, both ways or none, as a network that drops
// packets does: what is sent arrives, late, when the way is open again; nobody is
// told. New connections come about when both ways are open.
func (l *Link) Hold(forth, back bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gate(&l.mu.forth, forth)
	gate(&l.mu.back, back)
}

// Break ends all connections and refuses new ones until Mend.
func (l *Link) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.refuses = true
	for c := range l.mu.conns {
		_ = c.Close()
	}
}

// Mend undoes Hold and Break.
func (l *Link) Mend() {
	l.Hold(false, false)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.refuses = false
}

// close ends everything.
func (l *Link) close() {
	l.Break()
	l.Hold(false, false)
	l.mu.Lock()
	l.mu.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.crew.Wait()
}

func opened() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// gate shuts or opens a way.
func gate(way *chan struct{}, shut bool) {
	select {
	case <-*way:
		if shut {
			*way = make(chan struct{})
		}
	default:
		if !shut {
			close(*way)
		}
	}
}

// pass waits until a way is open.
func (l *Link) pass(way *chan struct{}) {
	l.mu.Lock()
	open := *way
	l.mu.Unlock()
	<-open
}

func (l *Link) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.keep(near) {
			continue
		}
		l.crew.Go(func() { l.carry(near) })
	}
}

// keep notes an open connection; one that is not wanted is closed.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.refuses || l.mu.closed {
		_ = c.Close()
		return false
	}
	l.mu.conns[c] = true
	return true
}

func (l *Link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.conns, c)
}

// dialFor bounds the way on, which is on this machine.
const dialFor = 2 * time.Second

// carry passes one connection on.
func (l *Link) carry(near net.Conn) {
	defer l.drop(near)
	l.pass(&l.mu.forth)
	l.pass(&l.mu.back)
	far, err := net.DialTimeout("tcp", l.target, dialFor) //nolint:noctx // bounded, and on this machine
	if err != nil {
		return
	}
	defer l.drop(far)
	if !l.keep(far) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(far, near, &l.mu.forth) })
	both.Go(func() { l.copy(near, far, &l.mu.back) })
	both.Wait()
}

// copy passes bytes one way, and then the end of the connection: the other side
// hears of it only if the way is open.
func (l *Link) copy(to, from net.Conn, way *chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.pass(way)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_, _ = io.Copy(io.Discard, from) // whoever sends does not hear of it this way
				return
			}
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				_ = to.Close()
			}
			return
		}
	}
}
