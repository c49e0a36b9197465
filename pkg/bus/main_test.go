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
func start(tb testing.TB, sync bool) *embedded.Server {
	tb.Helper()
	s, err := embedded.Start(embedded.Options{Dir: tb.TempDir(), Sync: sync})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return s
}

func dial(tb testing.TB, s *embedded.Server) *bus.Conn {
	tb.Helper()
	c, err := bus.Dial(tb.Context(), bus.Options{InProcess: s, User: s.User(), Password: s.Password()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

func config() bus.Config { return bus.Config{Partitions: 4, Replicas: 1} }

// open returns a connection to a fresh server with streams.
func open(tb testing.TB) *bus.Conn {
	tb.Helper()
	c := dial(tb, start(tb, false))
	ensure(tb, c, config())
	return c
}

func ensure(tb testing.TB, c *bus.Conn, cfg bus.Config) bus.Identity {
	tb.Helper()
	id, err := c.EnsureStreams(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// inBothShapes runs a test with a connection that is one of many, and with one
// that is the only writer and writes bundles.
func inBothShapes(t *testing.T, run func(*testing.T, *bus.Conn)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) {
		t.Parallel()
		run(t, open(t))
	})
	t.Run("sole", func(t *testing.T) {
		t.Parallel()
		c := dialSole(t, start(t, false))
		ensure(t, c, config())
		run(t, c)
	})
}

// dialSole is dial for the only writer.
func dialSole(tb testing.TB, s bus.InProcess) *bus.Conn {
	tb.Helper()
	o := bus.Options{InProcess: s, Sole: true, Timeout: time.Second}
	if named, ok := s.(interface{ User() string }); ok {
		o.User = named.User()
	}
	if known, ok := s.(interface{ Password() string }); ok {
		o.Password = known.Password()
	}
	c, err := bus.Dial(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// must returns what a call returned, or ends the test.
func must[T any](tb testing.TB) func(T, error) T {
	tb.Helper()
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

func brief(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 60*time.Second)
	tb.Cleanup(cancel)
	return ctx
}
