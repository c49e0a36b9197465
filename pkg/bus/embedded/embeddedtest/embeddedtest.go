// Package embeddedtest has a NATS server for tests that comes again with less than
// it had, while its clients live on: what a machine does that loses power and whose
// disk had lied about syncing.
//
// The rule of the package: only tests stand on it.
package embeddedtest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

const password = "again"

// Server is one that can be started again. It implements bus.InProcess; a client
// finds the server of now.
type Server struct {
	t          testing.TB
	dir, older string
	mu         sync.Mutex
	now        *embedded.Server
	clients    []*bus.Conn
}

// Start starts a server on a fresh directory until the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{t: tb, dir: tb.TempDir(), older: tb.TempDir()}
	s.start()
	tb.Cleanup(func() { s.now.Stop() })
	return s
}

func (s *Server) start() {
	s.t.Helper()
	now, err := embedded.Start(embedded.Options{Dir: s.dir, Password: password})
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = now
}

// Dial connects a client that is one of many until the test ends.
func (s *Server) Dial() *bus.Conn {
	s.t.Helper()
	c, err := bus.Dial(s.t.Context(), bus.Options{InProcess: s, User: embedded.UserBaton, Password: password})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	s.clients = append(s.clients, c)
	return c
}

// InProcessConn implements bus.InProcess.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.InProcessConn()
}

// Keep starts the server again and keeps a copy of a stream. It returns when the
// clients are connected again.
func (s *Server) Keep(stream string) {
	s.t.Helper()
	s.now.Stop()
	if err := os.CopyFS(filepath.Join(s.older, stream), os.DirFS(s.stream(stream))); err != nil {
		s.t.Fatal(err)
	}
	s.again()
}

// Lose starts the server again with a stream as it was kept. It returns when the
// clients are connected again.
func (s *Server) Lose(stream string) {
	s.t.Helper()
	s.now.Stop()
	dir := s.stream(stream)
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(filepath.Join(s.older, stream)))); err != nil {
		s.t.Fatal(err)
	}
	s.again()
}

// stream is the directory of a stream.
func (s *Server) stream(name string) string {
	s.t.Helper()
	found, err := filepath.Glob(filepath.Join(s.dir, "nats", "jetstream", "*", "streams", name))
	if err != nil || len(found) != 1 {
		s.t.Fatalf("the stream %s is in %v (%v)", name, found, err)
	}
	return found[0]
}

func (s *Server) again() {
	s.t.Helper()
	before := make([]uint64, len(s.clients))
	for i, c := range s.clients {
		before[i] = c.Reconnects()
	}
	s.start()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for i, c := range s.clients {
		for c.Reconnects() == before[i] || !c.Connected() {
			select {
			case <-look.C:
			case <-deadline.C:
				s.t.Fatal("the clients do not connect again")
			}
		}
	}
}
