package ingress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/webhook"
	"github.com/baton-router/baton/services/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	partitions = 4
	page       = 100200300400500
	secret     = "baton-test-app-secret"
)

// nats runs an embedded server with streams until the test ends.
func nats(tb testing.TB, sync bool, inboundBytes int64) (*bus.Conn, *embedded.Server) {
	tb.Helper()
	server, err := embedded.Start(embedded.Options{Dir: tb.TempDir(), Sync: sync})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Stop)
	conn, err := bus.Dial(tb.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	if _, err := conn.EnsureStreams(tb.Context(), bus.Config{Partitions: partitions, Replicas: 1, InboundBytes: inboundBytes}); err != nil {
		tb.Fatal(err)
	}
	return conn, server
}

// publisher is one that is waited for.
type publisher interface {
	PublishInbound(ctx context.Context, p int, data []byte) (uint64, error)
}

// unawaited makes an ingress.Publisher of it.
type unawaited struct{ publisher }

func (u unawaited) SubmitInbound(p int, data []byte, stored func(error)) {
	go func() {
		_, err := u.PublishInbound(context.Background(), p, data)
		stored(err)
	}()
}

func deps(p publisher) ingress.Deps {
	asked, ok := p.(ingress.Publisher)
	if !ok {
		asked = unawaited{p}
	}
	return ingress.Deps{
		Publisher:   asked,
		KnowsPage:   func(asset uint64) bool { return asset == page },
		Secrets:     func() [][]byte { return [][]byte{[]byte("older"), []byte(secret)} },
		VerifyToken: func() string { return "verify" },
		Now:         time.Now,
		Logger:      slog.New(slog.DiscardHandler),
	}
}

func service(tb testing.TB, c ingress.Config, d ingress.Deps) *ingress.Service {
	tb.Helper()
	c.Partitions = partitions
	s, err := ingress.New(c, d)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// run runs s until the test ends.
func run(tb testing.TB, s *ingress.Service) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// message is an element of person with text.
func message(person int, mid, text string) string {
	return fmt.Sprintf(`{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":1790000000045,"message":{"mid":%q,"text":%q}}`, person, page, mid, text)
}

// post is a body with one entry per element.
func post(elements ...string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"object":"page","entry":[`)
	for i, e := range elements {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%d","time":1790000000123,"messaging":[%s]}`, page, e)
	}
	b.WriteString("]}")
	return b.Bytes()
}

func signed(tb testing.TB, body []byte) *http.Request {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodPost, "/webhook", bytes.NewReader(body))
	r.Header.Set(webhook.Header256, webhook.Sign256([]byte(secret), body))
	return r
}

// send posts a signed body and returns the answer.
func send(tb testing.TB, s *ingress.Service, body []byte) *httptest.ResponseRecorder {
	tb.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, signed(tb, body))
	return w
}

// stored reads everything on the input, in stream order.
func stored(tb testing.TB, c *bus.Conn) (batches []*inboundv1.Batch, at []int) {
	tb.Helper()
	first, last, _, err := c.InboundRange(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for seq := max(first, 1); seq <= last; seq++ {
		for p := range partitions {
			m, err := c.Inbound(tb.Context(), p, seq)
			if errors.Is(err, bus.ErrNoMessage) {
				continue
			}
			if err != nil {
				tb.Fatal(err)
			}
			batches, at = append(batches, decode(tb, m.Data)), append(at, p)
		}
	}
	return batches, at
}

func decode(tb testing.TB, data []byte) *inboundv1.Batch {
	tb.Helper()
	b := &inboundv1.Batch{}
	if err := proto.Unmarshal(data, b); err != nil {
		tb.Fatal(err)
	}
	return b
}

// mids are the message ids of each person, in stream order.
func mids(batches []*inboundv1.Batch) map[uint64][]string {
	out := map[uint64][]string{}
	for _, b := range batches {
		for _, e := range b.GetEvents() {
			out[e.GetPerson()] = append(out[e.GetPerson()], e.GetMid())
		}
	}
	return out
}

// tally counts what an Observer is told.
type tally struct {
	mu      sync.Mutex
	results map[string]int
	events  map[control.Kind]int
	unknown int
	bytes   []int
}

func (c *tally) observer() ingress.Observer {
	c.results, c.events = map[string]int{}, map[control.Kind]int{}
	return ingress.Observer{
		Request:     func(result string) { c.mu.Lock(); c.results[result]++; c.mu.Unlock() },
		Event:       func(_ control.Object, k control.Kind) { c.mu.Lock(); c.events[k]++; c.mu.Unlock() },
		UnknownPage: func(uint64) { c.mu.Lock(); c.unknown++; c.mu.Unlock() },
		Published: func(_ time.Duration, _, bytes int, _ error) {
			c.mu.Lock()
			c.bytes = append(c.bytes, bytes)
			c.mu.Unlock()
		},
	}
}

// gate is a Publisher in front of the real one: it reports each message that
// wants through, and waits for a verdict: nil lets it pass.
type gate struct {
	next    publisher
	arrived chan []byte
	verdict chan error
}

func newGate(next publisher) *gate {
	return &gate{next: next, arrived: make(chan []byte), verdict: make(chan error)}
}

func (g *gate) PublishInbound(ctx context.Context, p int, data []byte) (uint64, error) {
	g.arrived <- bytes.Clone(data)
	if err := <-g.verdict; err != nil {
		return 0, err
	}
	return g.next.PublishInbound(ctx, p, data)
}

// answers collects the answers of requests that run beside the test.
type answers struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	codes []int
}

func (a *answers) send(tb testing.TB, s *ingress.Service, body []byte) {
	tb.Helper()
	r := signed(tb, body)
	a.wg.Go(func() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		a.mu.Lock()
		a.codes = append(a.codes, w.Code)
		a.mu.Unlock()
	})
}

func (a *answers) wait() []int {
	a.wg.Wait()
	return a.codes
}

func xs(n int) string { return strings.Repeat("x", n) }
