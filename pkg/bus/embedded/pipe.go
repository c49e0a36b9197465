package embedded

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unsafe" // also for go:linkname

	"github.com/nats-io/nats-server/v2/server"
)

// Bounds of one direction of a pipe, in bytes.
const (
	// pipeFull is what may wait before a writer does.
	pipeFull = 256 << 10
	// keepPipe is the largest empty buffer that is kept: one that was filled up
	// to pipeFull by a writer of small pieces, so that a batch for the control
	// topic takes no new memory.
	keepPipe = 2 * pipeFull
)

// serveConn has the server serve a connection of its own process, as its
// InProcessConn does with one end of a net.Pipe. That hands every write over to
// a reader and waits for it, so that each message, and each answer, costs four
// changes of goroutine instead of one.
//
//go:linkname serveConn github.com/nats-io/nats-server/v2/server.(*Server).createClientInProcess
func serveConn(s *server.Server, c net.Conn) unsafe.Pointer

// newPipe returns the two ends of a connection. What is written waits until it
// is read; a writer waits only while there is too much.
func newPipe() (client, served net.Conn) {
	to, from := newFlow(), newFlow()
	return &pipeEnd{in: from, out: to}, &pipeEnd{in: to, out: from}
}

// pipeEnd is one end of a pipe.
type pipeEnd struct{ in, out *flow }

func (e *pipeEnd) Read(b []byte) (int, error)  { return e.in.read(b) }
func (e *pipeEnd) Write(b []byte) (int, error) { return e.out.write(b) }

// Close ends both directions. What was written before can still be read, at
// both ends.
func (e *pipeEnd) Close() error {
	e.in.end(io.ErrClosedPipe)
	e.out.end(io.EOF)
	return nil
}

func (e *pipeEnd) LocalAddr() net.Addr  { return pipeAddr{} }
func (e *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

func (e *pipeEnd) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	return e.in.setDeadline(&e.in.mu.readBy, t, &e.in.filled)
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	return e.out.setDeadline(&e.out.mu.writeBy, t, &e.out.drained)
}

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// flow is one direction of a pipe.
type flow struct {
	filled, drained sync.Cond // there is something to look at for the reader, a writer
	mu              struct {
		sync.Mutex
		buf             []byte
		from            int   // of buf, what is not read yet
		ended           error // what the reader gets behind the last byte
		readBy, writeBy time.Time
	}
}

func newFlow() *flow {
	f := &flow{}
	f.filled.L, f.drained.L = &f.mu, &f.mu
	return f
}

func (f *flow) write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.waiting() >= pipeFull && f.mu.ended == nil {
		if err := wait(&f.drained, f.mu.writeBy); err != nil {
			return 0, err
		}
	}
	if f.mu.ended != nil {
		return 0, io.ErrClosedPipe
	}
	f.mu.buf = append(f.mu.buf, b...)
	f.filled.Signal()
	return len(b), nil
}

func (f *flow) read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.waiting() == 0 {
		if f.mu.ended != nil {
			return 0, f.mu.ended
		}
		if err := wait(&f.filled, f.mu.readBy); err != nil {
			return 0, err
		}
	}
	n := copy(b, f.mu.buf[f.mu.from:])
	f.mu.from += n
	if f.waiting() == 0 {
		f.empty()
	}
	return n, nil
}

// waiting is how many bytes are not read yet. The lock is held.
func (f *flow) waiting() int { return len(f.mu.buf) - f.mu.from }

// empty begins the buffer anew, which wakes the writers. The lock is held.
func (f *flow) empty() {
	f.mu.buf, f.mu.from = f.mu.buf[:0], 0
	if cap(f.mu.buf) > keepPipe {
		f.mu.buf = nil
	}
	f.drained.Broadcast()
}

// wait waits for a signal, until a time; zero for no bound. The lock is held.
func wait(c *sync.Cond, until time.Time) error {
	if until.IsZero() {
		c.Wait()
		return nil
	}
	left := time.Until(until)
	if left <= 0 {
		return os.ErrDeadlineExceeded
	}
	late := time.AfterFunc(left, func() {
		c.L.Lock()
		defer c.L.Unlock()
		c.Broadcast()
	})
	defer late.Stop()
	c.Wait()
	return nil
}

// setDeadline has who waits look at a new deadline.
func (f *flow) setDeadline(deadline *time.Time, t time.Time, waits *sync.Cond) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	*deadline = t
	waits.Broadcast()
	return nil
}

// end ends the direction: its reader gets why behind what waits.
func (f *flow) end(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.ended == nil {
		f.mu.ended = why
	}
	f.filled.Broadcast()
	f.drained.Broadcast()
}
