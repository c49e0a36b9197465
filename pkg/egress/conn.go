package egress

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is a connection to an origin, owned by one exchange at a time or idle in
// the pool.
type conn struct {
	net.Conn // what is spoken on: TLS or plain
	to       origin
	socket   net.Conn // below all TLS
	raw      syscall.RawConn
	r        *bufio.Reader
	left     int64     // bytes that may still be read
	since    time.Time // idle since
	// interrupt ends what blocks; glance reads from the socket what is there,
	// and glimpse is what came of it. Both functions are made once.
	interrupt func()
	glance    func(fd uintptr) bool
	glimpse   error
}

// newConn takes over what a dialer has opened. The error is that of a connection
// that is closed already.
func newConn(to origin, spoken net.Conn) (*conn, error) {
	c := &conn{Conn: spoken, to: to, socket: spoken}
	for secured, ok := c.socket.(*tls.Conn); ok; secured, ok = c.socket.(*tls.Conn) {
		c.socket = secured.NetConn()
	}
	if s, ok := c.socket.(syscall.Conn); ok {
		var err error
		if c.raw, err = s.SyscallConn(); err != nil {
			return nil, err //nolint:wrapcheck // it names the connection
		}
	}
	c.r = bufio.NewReader(c)
	c.interrupt = func() { _ = c.socket.SetDeadline(time.Unix(1, 0)) }
	c.glance = func(fd uintptr) bool {
		var one [1]byte
		_, c.glimpse = syscall.Read(int(fd), one[:]) // the runtime's sockets never block
		return true
	}
	return c, nil
}

// errLongHead is the failure of an answer whose head does not end.
var errLongHead = errors.New("egress: response header too large")

// Read reads no more than is left.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHead
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err //nolint:wrapcheck // io.EOF is to stay what it is
}

// abort closes the connection without TLS's goodbye, which might block.
func (c *conn) abort() { _ = c.socket.Close() }

// quiet reports whether an idle connection is as it was left: neither closed by
// the other end nor spoken on. What came unasked is the answer to no request.
func (c *conn) quiet() bool {
	if c.raw == nil || c.raw.Read(c.glance) != nil || !errors.Is(c.glimpse, syscall.EAGAIN) {
		return false
	}
	return c.Conn == c.socket || c.exhausted()
}

// exhausted reports whether TLS holds nothing that it has read ahead.
func (c *conn) exhausted() bool {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var one [1]byte
	n, err := c.Conn.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetReadDeadline(time.Time{}) == nil
}
