package bus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// A reader whose consumer or connection is lost goes on behind the last message
// that it has handed on: no gap, no repeat.
func TestReadersSurviveLosses(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	reading, writing := dial(t, s), dial(t, s)
	ensure(t, writing, config())
	js := administrator(t, s)
	const total = 600
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { fill(t, writing, 0, 0, total) })
	next, done := uint64(1), errors.New("enough")
	err := reading.ReadLog(brief(t), bus.ReadOptions{}, func(m bus.Message) error {
		if m.Sequence != next {
			t.Errorf("message %d, wanted %d", m.Sequence, next)
		}
		next = m.Sequence + 1
		switch {
		case m.Sequence == total:
			return done
		case m.Sequence%100 == 0:
			return reading.Reconnect()
		case m.Sequence%50 == 0:
			dropConsumers(t, js)
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
}

func dropConsumers(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamLog))
	list := stream.ConsumerNames(t.Context())
	for name := range list.Name() {
		if err := stream.DeleteConsumer(t.Context(), name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Error(err)
		}
	}
	if list.Err() != nil {
		t.Error(list.Err())
	}
}

func TestReadersLeaveNoConsumerBehind(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	fill(t, c, 0, 0, 1)
	done := errors.New("enough")
	for range 3 {
		if err := c.ReadLog(brief(t), bus.ReadOptions{}, func(bus.Message) error { return done }); !errors.Is(err, done) {
			t.Fatal(err)
		}
	}
	js, asking := administrator(t, s), brief(t)
	for left := 1; left > 0; { // a reader waits for no answer when it has its consumer removed
		stream, err := js.Stream(asking, bus.StreamLog)
		if err != nil {
			t.Fatalf("%d consumers left: %v", left, err)
		}
		left = stream.CachedInfo().State.Consumers
	}
}

func TestReadingAStreamThatIsGoneIsAnError(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, false))
	if err := c.ReadInbound(brief(t), bus.ReadOptions{}, nil); !errors.Is(err, bus.ErrStreamMissing) {
		t.Errorf("%v, wanted ErrStreamMissing", err)
	}
	ensure(t, c, config())
	c.Close()
	if err := c.ReadInbound(brief(t), bus.ReadOptions{}, nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("%v, wanted ErrClosed", err)
	}
}

// wire is the way to the server. It can be cut, so that no new connection comes
// through, or made one-way: what is sent arrives, what is answered does not.
type wire struct {
	server *embedded.Server
	cut    atomic.Bool
	mute   atomic.Bool
	mu     sync.Mutex
	conns  []net.Conn
}

func (w *wire) InProcessConn() (net.Conn, error) {
	if w.cut.Load() {
		return nil, errors.New("cut")
	}
	conn, err := w.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conn)
	return &wireConn{Conn: conn, wire: w}, nil
}

func (w *wire) breakAll() {
	w.cut.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
}

// wireConn throws away what it reads while the wire is mute.
type wireConn struct {
	net.Conn
	wire *wire
}

func (c *wireConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.wire.mute.Load() {
			return n, err
		}
	}
}

// User and Password are those of the server.
func (w *wire) User() string { return w.server.User() }

func (w *wire) Password() string { return w.server.Password() }

func (w *wire) dial(t *testing.T) *bus.Conn {
	t.Helper()
	c, err := bus.Dial(t.Context(), bus.Options{InProcess: w, User: w.server.User(), Password: w.server.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// The record may have landed although nobody said so; only the repeat tells.
func TestLostAnswerIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := &wire{server: start(t, false)}
	good, bad := dial(t, w.server), w.dial(t)
	ensure(t, good, config())
	first := must[uint64](t)(bad.AppendLog(brief(t), 0, []byte("a"), 0))
	w.mute.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := bad.AppendLog(ctx, 0, []byte("b"), first)
	if !errors.Is(err, bus.ErrOutcomeUnknown) || !bus.IsRetryable(err) {
		t.Fatalf("%v, wanted ErrOutcomeUnknown", err)
	}
	if _, err := good.AppendLog(brief(t), 0, []byte("b"), first); !errors.Is(err, bus.ErrWrongSequence) {
		t.Fatalf("repeat: %v, wanted ErrWrongSequence", err)
	}
	if next := must[bus.Message](t)(good.NextLog(brief(t), 0, first)); string(next.Data) != "b" {
		t.Errorf("record after the first: %q", next.Data)
	}
}

// What was under way when the connection broke is told at once, not at the
// deadline.
func TestBreakEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	w := &wire{server: start(t, false)}
	good, broken := dial(t, w.server), w.dial(t)
	ensure(t, good, config())
	calls := make(chan bus.CommandCall, 1)
	stop, err := good.ServeCommands(0, func(call bus.CommandCall) { calls <- call })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	asked := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	go func() {
		_, err := ask(ctx, broken, 0, "hello")
		asked <- err
	}()
	<-calls // it is with the holder, who does not answer
	w.breakAll()
	if err := <-asked; !errors.Is(err, bus.ErrNoAnswer) {
		t.Errorf("%v, wanted ErrNoAnswer", err)
	}
}

// A connection without a server refuses at once and keeps nothing back: what it
// refused never lands later.
func TestBrokenConnectionKeepsNothingBack(t *testing.T) {
	t.Parallel()
	w := &wire{server: start(t, false)}
	good, broken := dial(t, w.server), w.dial(t)
	ensure(t, good, config())
	if !broken.Connected() {
		t.Error("not connected before the break")
	}
	w.breakAll()
	ctx := brief(t)
	for name, call := range map[string]func() error{
		"append":  func() error { _, err := broken.AppendLog(ctx, 0, []byte("x"), 99); return err },
		"inbound": func() error { _, err := broken.PublishInbound(ctx, 0, []byte("x")); return err },
		"ask":     func() error { _, err := ask(ctx, broken, 0, "x"); return err },
		"read":    func() error { _, _, err := broken.LoadCursor(ctx, 0); return err },
		"notice":  func() error { return broken.Announce("x", nil) },
	} {
		err := call()
		for bus.IsRetryable(err) && !errors.Is(err, bus.ErrUnavailable) || err == nil && name == "notice" {
			err = call() // the connection has not noticed yet
		}
		if !errors.Is(err, bus.ErrUnavailable) || ctx.Err() != nil {
			t.Errorf("%s: %v, wanted ErrUnavailable", name, err)
		}
	}
	if broken.Connected() {
		t.Error("connected after the break")
	}
	w.cut.Store(false)
	for !broken.Connected() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("not connected again")
		}
	}
	must[uint64](t)(broken.AppendLog(ctx, 0, []byte("y"), 0))
	if messages(t, good, bus.StreamInbound) != 0 || messages(t, good, bus.StreamLog) != 1 {
		t.Error("what was refused has landed")
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	if _, err := bus.Dial(t.Context(), bus.Options{}); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("no server: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = bus.Dial(t.Context(), bus.Options{URL: "nats://me:s3cret@" + addr})
	if err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("nobody listens: %v", err)
	}
	if text := err.Error(); !strings.Contains(text, addr) || strings.Contains(text, "s3cret") {
		t.Errorf("error %q", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bus.Dial(ctx, bus.Options{URL: "nats://" + addr}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// A consumer that cannot be asked yet is asked again, and not for ever.
func TestReaderWaitsForItsConsumer(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Reached(ctx, "test.pull"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody listens: %v", err)
	}
	reached := make(chan error, 1)
	go func() { reached <- c.Reached(t.Context(), "test.pull") }()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.User(), s.Password()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Subscribe("test.pull", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := <-reached; err != nil {
		t.Errorf("it listens now: %v", err)
	}
}
