package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
)

// Request is one request. What it refers to is valid until the handler
// returns.
type Request struct {
	Method, Target string // Target is the path and query
	Signature      []byte // X-Hub-Signature-256
	Body           []byte
}

// Handler answers a request: a status, and a body that the server does not
// keep. It is called by one goroutine per connection, many at once.
type Handler func(r *Request) (status int, body []byte)

// Serve answers requests on ln until ctx ends, and closes ln and every
// connection then. It returns when the last handler has. The error is that of
// the listener.
func Serve(ctx context.Context, ln net.Listener, handle Handler) error {
	s := server{handle: handle, open: map[net.Conn]struct{}{}}
	stop := context.AfterFunc(ctx, func() { s.close(ln) })
	defer stop()
	defer s.serving.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			s.close(ln)
			if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		if s.adopt(conn) {
			s.serving.Go(func() { s.serve(conn) })
		}
	}
}

type server struct {
	handle  Handler
	serving sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]struct{}
	closed  bool
}

func (s *server) adopt(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.open[conn] = struct{}{}
	return true
}

func (s *server) close(ln net.Listener) {
	_ = ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.open {
		_ = conn.Close()
	}
}

// serve answers the requests of one connection until it ends. A request that is
// not understood ends it: only programs that are measured connect here.
func (s *server) serve(conn net.Conn) {
	defer func() {
		_ = conn.Close()
		s.mu.Lock()
		delete(s.open, conn)
		s.mu.Unlock()
	}()
	r := bufio.NewReaderSize(conn, 32<<10)
	var m message
	var out []byte
	var targets names
	for {
		if m.read(r) != nil {
			return
		}
		method, rest, _ := bytes.Cut(m.first, []byte(" "))
		target, _, _ := bytes.Cut(rest, []byte(" "))
		request := Request{Method: targets.name(method), Target: targets.name(target), Signature: m.signature, Body: m.body}
		status, body := s.handle(&request)
		out = appendAnswer(out[:0], status, body)
		if _, err := conn.Write(out); err != nil || m.closing {
			return
		}
	}
}

// names spares an allocation for each repetition of a short text.
type names map[string]string

func (n *names) name(b []byte) string {
	if s, ok := (*n)[string(b)]; ok {
		return s
	}
	if *n == nil || len(*n) > 64 {
		*n = names{}
	}
	s := string(b)
	(*n)[s] = s
	return s
}

func appendAnswer(dst []byte, status int, body []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, " \r\nContent-Type: text/plain\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}
