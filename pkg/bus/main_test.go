package bus_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server on a fresh directory until the test ends.
func start(t testing.TB, sync bool) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Dir: t.TempDir(), Sync: sync})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func dial(t testing.TB, s *embedded.Server) *bus.Conn {
	t.Helper()
	c, err := bus.Dial(t.Context(), bus.Options{InProcess: s, User: s.User(), Password: s.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func config() bus.Config { return bus.Config{Partitions: 4, Replicas: 1} }

// open returns a connection to a fresh server with streams.
func open(t testing.TB) *bus.Conn {
	t.Helper()
	c := dial(t, start(t, false))
	ensure(t, c, config())
	return c
}

func ensure(t testing.TB, c *bus.Conn, cfg bus.Config) bus.Identity {
	t.Helper()
	id, err := c.EnsureStreams(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// must returns what a call returned, or ends the test.
func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func brief(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
