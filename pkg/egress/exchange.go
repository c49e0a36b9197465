package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// errStale is the failure of a kept connection on which nothing of an answer
// came: it was closed, most likely before the request.
var errStale = errors.New("egress: the connection was closed before any answer")

// errSwitched is the failure of an endpoint that wants to speak something else:
// the connection would be the caller's then, beyond every deadline.
var errSwitched = errors.New("egress: the endpoint wants to switch protocols")

// writtenAtOnce is how much of a request is written before its answer is awaited:
// the buffers of two sockets take as much. Larger ones are written meanwhile,
// because an endpoint may refuse them before it has read them.
const writtenAtOnce = 32 << 10

//nolint:gochecknoglobals // free buffers for requests, of at most writtenAtOnce bytes
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// send is one request and its answer, without credentials.
func (t *RoundTripper) send(req *http.Request) (*http.Response, error) {
	buffer, _ := buffers.Get().(*[]byte)
	out, err := compose((*buffer)[:0], req)
	if cap(out) <= writtenAtOnce {
		defer func() { *buffer = out; buffers.Put(buffer) }()
	}
	if err != nil {
		return nil, err
	}
	to, err := originOf(req.URL)
	if err != nil {
		return nil, err
	}
	if err := t.pool.enter(req.Context(), to); err != nil {
		return nil, blame(req.Context(), err)
	}
	resp, err := t.carry(req, to, out)
	if err != nil {
		t.pool.leave(to, nil)
	}
	return resp, err
}

// carry sends a request on an idle connection, or on a new one: also when the
// idle one was closed before any answer.
func (t *RoundTripper) carry(req *http.Request, to origin, out []byte) (*http.Response, error) {
	if c := t.pool.take(to); c != nil {
		resp, err := t.exchange(c, true, req, out)
		if !errors.Is(err, errStale) {
			return resp, err
		}
	}
	c, err := t.connect(req.Context(), to)
	if err != nil {
		return nil, err
	}
	return t.exchange(c, false, req, out)
}

// connect opens a connection. That the proxy took too long stays the proxy's
// failure.
func (t *RoundTripper) connect(ctx context.Context, to origin) (*conn, error) {
	dial := t.dialer.dial
	if to.secure {
		dial = t.dialer.dialTLS
	}
	spoken, err := dial(ctx, "tcp", to.address)
	if err != nil {
		if errors.Is(err, ErrProxy) && !errors.Is(ctx.Err(), context.Canceled) {
			return nil, err
		}
		return nil, blame(ctx, err)
	}
	c, err := newConn(to, spoken)
	if err != nil {
		_ = spoken.Close()
		return nil, failed(ClassConnect, err)
	}
	return c, nil
}

// blame is the failure of an exchange: if the caller's time is over, that is why.
func blame(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("egress: %w", ended)
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) { // the context is about to notice
		return fmt.Errorf("egress: %w", context.DeadlineExceeded)
	}
	return err
}

// exchange is a request and its answer on a connection. It is the body of the
// answer: whoever reads it to its end, or closes it, ends the exchange.
type exchange struct {
	pool    *pool
	conn    *conn
	ctx     context.Context //nolint:containedctx // the request's, while its answer is read
	unwatch func() bool
	written chan struct{} // closed when a large request was written; nil for others
	wrote   error         // of the writing, once it is done
	answer  io.Reader     // the body as net/http reads it
	keep    bool          // by what request and answer say
	left    int64         // bytes that the body may still have
	err     error         // why there is nothing more to read; nil while there is
}

// exchange owns c from here on. With an error, c is closed and nothing of the
// request is under way any more.
func (t *RoundTripper) exchange(c *conn, reused bool, req *http.Request, out []byte) (*http.Response, error) {
	x := &exchange{pool: t.pool, conn: c, ctx: req.Context(), left: t.maxBytes}
	x.unwatch = context.AfterFunc(x.ctx, c.interrupt)
	trace := httptrace.ContextClientTrace(x.ctx)
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: c.Conn, Reused: reused})
	}
	resp, err := x.ask(req, out, trace)
	if err != nil {
		x.unwatch()
		x.abort()
		return nil, blame(x.ctx, err)
	}
	x.keep = !resp.Close && !req.Close && resp.StatusCode >= http.StatusOK
	if resp.Body == http.NoBody {
		x.end(io.EOF)
		return resp, nil
	}
	x.answer, resp.Body = resp.Body, x
	return resp, nil
}

// ask sends the request and reads the head of its answer. A failure to write
// does not count if there is an answer: the endpoint need not read everything.
func (x *exchange) ask(req *http.Request, out []byte, trace *httptrace.ClientTrace) (*http.Response, error) {
	x.conn.left = maxHeaderBytes
	if len(out) <= writtenAtOnce {
		x.write(out)
	} else {
		x.written = make(chan struct{})
		go func() {
			defer close(x.written)
			x.write(out)
		}()
	}
	if _, err := x.conn.r.Peek(1); err != nil {
		return nil, fmt.Errorf("%w: %w", errStale, err)
	}
	if trace != nil && trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	resp, err := x.head(req)
	x.conn.left = math.MaxInt64 // the body has its own bound
	return resp, err
}

// answerAfterFault is how long an answer may take to come in that was sent before
// the connection broke.
const answerAfterFault = time.Second

func (x *exchange) write(out []byte) {
	if _, x.wrote = x.conn.Write(out); x.wrote != nil {
		_ = x.conn.SetReadDeadline(time.Now().Add(answerAfterFault))
	}
}

// head reads past the interim answers.
func (x *exchange) head(req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(x.conn.r, req)
		switch {
		case err != nil:
			return nil, err
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return nil, failed(ClassProtocol, errSwitched)
		case resp.StatusCode < http.StatusContinue || resp.StatusCode >= http.StatusOK:
			return resp, nil
		}
	}
}

// Read reads the body, at most as much as the policy allows.
func (x *exchange) Read(p []byte) (int, error) {
	if x.err != nil {
		return 0, x.err
	}
	// One byte more than allowed tells a body that ends here from one that
	// goes on.
	n, err := x.answer.Read(p[:min(int64(len(p)), x.left+1)])
	x.left -= int64(n)
	switch {
	case x.left < 0:
		n, err = n-1, ErrResponseTooLarge
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		err = blame(x.ctx, err)
	}
	x.end(err)
	return n, err
}

// Close ends the exchange. A body that was not read to its end costs the
// connection.
func (x *exchange) Close() error {
	if x.err == nil {
		x.end(http.ErrBodyReadAfterClose)
	}
	return nil
}

// end gives the connection back, or closes it, when nothing more is to be read.
func (x *exchange) end(err error) {
	x.err = err
	if x.unwatch() && x.keep && errors.Is(err, io.EOF) && x.sent() && x.conn.r.Buffered() == 0 {
		x.pool.leave(x.conn.to, x.conn)
		return
	}
	x.abort()
	x.pool.leave(x.conn.to, nil)
}

// sent reports whether the request was written.
func (x *exchange) sent() bool {
	select {
	case <-x.written:
	default:
		if x.written != nil {
			return false
		}
	}
	return x.wrote == nil
}

// abort closes the connection and waits until nobody writes on it.
func (x *exchange) abort() {
	x.conn.abort()
	if x.written != nil {
		<-x.written
	}
}
