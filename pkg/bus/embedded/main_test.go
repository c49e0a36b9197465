package embedded_test

import (
	"errors"
	"strings"
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

// baton connects as Baton does, makes the streams and serves the readers. Two
// control changes of pages 1 and 2 are on the topic, one message each on the
// log and the input.
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
	stop, err := c.ServeReaders(s.Access())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	_, logErr := c.AppendLog(t.Context(), 0, []byte("secret record"), 0)
	_, inErr := c.PublishInbound(t.Context(), 0, []byte("secret text"))
	_, topicErr := c.PublishControl(t.Context(), []bus.ControlMessage{
		{Subject: bus.ControlSubject("page", 1, "taken"), ID: "0-1", Data: []byte("page 1")},
		{Subject: bus.ControlSubject("page", 2, "taken"), ID: "0-2", Data: []byte("page 2")},
	}, []bus.CursorMove{{Partition: 0, Data: []byte("cursor")}})
	if err := errors.Join(logErr, inErr, topicErr); err != nil {
		t.Fatal(err)
	}
	return c
}

// counts is what the streams hold, to see that nothing was written.
func counts(t *testing.T, c *bus.Conn) []uint64 {
	t.Helper()
	uses, err := c.StreamUse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, u := range uses {
		out = append(out, u.Last<<32|u.Messages)
	}
	return out
}

// stranger is a connection that comes in over the network.
type stranger struct {
	*nats.Conn
	js      jetstream.JetStream
	refused chan error // what the server refused
}

func connect(t *testing.T, s *embedded.Server, opts ...nats.Option) *stranger {
	t.Helper()
	out := &stranger{refused: make(chan error, 100)}
	opts = append(opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { out.refused <- err }),
		nats.NoReconnect())
	nc, err := nats.Connect(s.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	out.Conn, out.js = nc, js
	return out
}

// mustBeRefused does something and expects a permissions violation.
func (r *stranger) mustBeRefused(t *testing.T, what string, do func() error) {
	t.Helper()
	if err := errors.Join(do(), r.Flush()); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	select {
	case err := <-r.refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s: not refused", what)
	}
}

// request sends a request whose answer, if any, says what happened.
func (r *stranger) request(t *testing.T, subject, body string) string {
	t.Helper()
	reply, err := r.Request(subject, []byte(body), 5*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return string(reply.Data)
}

func mustSay(t *testing.T, what, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%s: %q does not say %q", what, text, part)
	}
}
