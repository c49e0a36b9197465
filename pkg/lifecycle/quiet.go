package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// glanceEvery is how long a request may take before its client is looked after,
// and how often from then on.
const glanceEvery = 250 * time.Millisecond

// Quiet spares a server's requests what net/http does to hear at once that a
// client has gone: when a request has been read, a goroutine begins to read one
// byte more, and with the answer it is interrupted, at the price of a system call
// in vain, two deadlines and a wait. That is a good part of what a short request
// costs. On the connections of the listener that Quiet returns that read ends at
// once, with nothing. Who takes longer is looked after by the clock: the contexts
// of a connection's requests end within half a second of the client's leaving,
// and at once when the server closes the connection.
//
// It sets the server's ConnContext, and changes nothing for connections that are
// not TCP, and for TLS, which reads the socket in its own way.
func Quiet(server *http.Server, ln net.Listener) net.Listener {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if quiet, ok := c.(*quietConn); ok {
			ctx, quiet.cancel = context.WithCancel(ctx)
		}
		return ctx
	}
	return quietListener{ln}
}

type quietListener struct{ net.Listener }

// Accept implements net.Listener.
func (l quietListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, err //nolint:wrapcheck // the server reads what kind it is
	}
	quiet := &quietConn{TCPConn: tcp, cancel: func() {}}
	quiet.timer = time.AfterFunc(glanceEvery, quiet.glance)
	quiet.timer.Stop()
	return quiet, err //nolint:wrapcheck // as above
}

// quietConn is a connection to a client.
type quietConn struct {
	*net.TCPConn
	cancel context.CancelFunc // ends the contexts of the requests
	// resting: a request was read, and since then nothing but one byte was asked
	// for. The timer runs.
	resting atomic.Bool
	timer   *time.Timer
}

// Read implements net.Conn. The first read of a single byte reads nothing: that
// is net/http waiting for the client to go. Whoever means it asks again.
func (c *quietConn) Read(p []byte) (int, error) {
	switch resting := c.resting.Load(); {
	case len(p) == 1 && !resting:
		c.resting.Store(true)
		c.timer.Reset(glanceEvery)
		return 0, nil
	case len(p) > 1 && resting:
		c.resting.Store(false)
		c.timer.Stop()
	}
	return c.TCPConn.Read(p)
}

// Close implements net.Conn.
func (c *quietConn) Close() error {
	c.timer.Stop()
	c.cancel()
	return c.TCPConn.Close()
}

// glance looks whether the client of a request under way is still there.
func (c *quietConn) glance() {
	switch {
	case !c.resting.Load():
	case c.gone():
		c.cancel()
	default:
		c.timer.Reset(glanceEvery)
	}
}

// gone reports whether the client has closed the connection. What it has sent
// stays to be read, and hides what comes behind it.
func (c *quietConn) gone() bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
	})
	return err != nil || gone
}
