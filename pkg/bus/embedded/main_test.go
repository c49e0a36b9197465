package embedded_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := embedded.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// baton connects as Baton does and makes the streams.
func baton(t *testing.T, s *embedded.Server) *bus.Conn {
	t.Helper()
	c, err := bus.Dial(t.Context(), bus.Options{InProcess: s, User: s.User(), Password: s.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.EnsureStreams(t.Context(), bus.Config{Partitions: 4, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	return c
}

// stranger is a connection that comes in over the network.
type stranger struct {
	*nats.Conn
	js      jetstream.JetStream
	refused chan error // permission violations that the server reported
}

func connect(t *testing.T, s *embedded.Server, opts ...nats.Option) *stranger {
	t.Helper()
	out := &stranger{refused: make(chan error, 100)}
	opts = append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { out.refused <- err }),
		nats.MaxReconnects(0))
	nc, err := nats.Connect(s.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	out.Conn, out.js = nc, js
	return out
}
