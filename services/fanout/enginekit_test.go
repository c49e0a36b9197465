package fanout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

const testApp control.AppID = 700000000000001

// sink is an origin that remembers what became of its letters.
type sink struct {
	mu      sync.Mutex
	done    map[control.Position]int
	clocks  map[control.Position]failure
	closed  bool // may not start
	renewal int
}

func newSink() *sink {
	return &sink{done: map[control.Position]int{}, clocks: map[control.Position]failure{}}
}

func (s *sink) mayStart() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}

func (s *sink) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewal++
}

func (s *sink) finished(letters ...*letter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range letters {
		s.done[l.position]++
	}
}

func (s *sink) failed(l *letter, f failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clocks[l.position] = f
}

func (s *sink) open(open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = !open
}

func (s *sink) clock(p control.Position) (f failure, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, failed = s.clocks[p]
	return f, failed
}

func (s *sink) renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewal
}

// count is how many letters are finished.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.done)
}

// posted is a POST as an endpoint saw it.
type posted struct {
	at      time.Time
	ids     []string
	attempt string
	body    []byte
}

// endpoint is an app in memory: answer decides about each POST.
type endpoint struct {
	mu     sync.Mutex
	posts  []posted
	answer func(posted) (status int, took time.Duration, err error)
	landed func(posted) // the POST is about to end
	header http.Header
	seen   func(http.Header, []byte) // each POST as it comes
}

var errRefused = errors.New("endpoint: broken")

func (p *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return reply(http.StatusOK, req.URL.Query().Get("hub.challenge"), nil), nil
	}
	body, _ := io.ReadAll(req.Body)
	seen := posted{
		at: time.Now(), ids: strings.Split(req.Header.Get(headerDeliveryID), ","), attempt: req.Header.Get(headerAttempt),
		body: body,
	}
	p.mu.Lock()
	p.posts = append(p.posts, seen)
	answer, header, landed := p.answer, p.header, p.landed
	if p.seen != nil {
		p.seen(req.Header, body)
	}
	p.mu.Unlock()
	status, took, err := http.StatusOK, time.Duration(0), error(nil)
	if answer != nil {
		status, took, err = answer(seen)
	}
	cut := took > 0 && !sleep(req.Context(), took)
	if landed != nil {
		landed(seen)
	}
	if cut {
		return nil, req.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return reply(status, "EVENT_RECEIVED", header), nil
}

func (*endpoint) CloseIdleConnections() {}

func (p *endpoint) all() []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]posted(nil), p.posts...)
}

func (p *endpoint) respond(answer func(posted) (int, time.Duration, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

// change alters the endpoint under its lock.
func (p *endpoint) change(f func(*endpoint)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

func reply(status int, body string, header http.Header) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

// status answers every POST alike.
func status(code int) func(posted) (int, time.Duration, error) {
	return func(posted) (int, time.Duration, error) { return code, 0, nil }
}

// bench is an engine with an endpoint in memory, for use in a synctest bubble.
type bench struct {
	*engine
	sink     *sink
	end      *endpoint
	finished map[control.Position]Outcome
	attempts []Attempt
	mu       sync.Mutex
}

func newBench(tb testing.TB, app App) *bench {
	tb.Helper()
	return newBenchOn(tb, app, &sockets{limit: 4096})
}

func newBenchOn(tb testing.TB, app App, common *sockets) *bench {
	tb.Helper()
	b := &bench{sink: newSink(), end: &endpoint{}, finished: map[control.Position]Outcome{}}
	app.ID, app.Callback, app.Secret = testApp, "http://app.test/webhook", []byte("secret")
	b.engine = newEngine(engineParts{
		app: app, transport: b.end, log: quiet(), agent: "Baton/test",
		observers: &Observers{
			Finished: func(f Finished) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.finished[f.Position] = f.Outcome
			},
			Attempt: func(a Attempt) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.attempts = append(b.attempts, a)
			},
		},
		bounds:  bounds{letters: 1000, bytes: 1 << 20, floor: 1 << 16, shared: &budget{limit: 1 << 20}},
		sockets: common, throttle: &throttle{},
	})
	b.enable(b.settings())
	tb.Cleanup(func() {
		ctx, cancel := contextFor(time.Minute)
		defer cancel()
		b.drain(ctx)
	})
	return b
}

// ends are the outcomes so far, for messages.
func (b *bench) ends() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.finished)
}

func (b *bench) outcome(p control.Position) Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.finished[p]
}

// send offers letters with consecutive positions from first on, one for each
// person.
func (b *bench) send(first control.Position, persons ...uint64) {
	letters := make([]*letter, len(persons))
	for i, person := range persons {
		letters[i] = b.letter(first+control.Position(i), person)
	}
	b.offer(letters)
}

func (b *bench) letter(p control.Position, person uint64) *letter {
	return &letter{
		from: b.sink, position: p, thread: control.ThreadKey{Asset: 1, Person: person}, channel: control.ChannelMessaging,
		at: control.Millis(time.Now().UnixMilli()), element: fmt.Appendf(nil, `{"n":%d}`, p),
	}
}

// pass lets a bubble's time go by.
func pass(d time.Duration) { <-time.After(d) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// webhookBody is what the tests look at of a POST.
type webhookBody struct {
	Object string `json:"object"`
	Entry  []struct {
		ID        string            `json:"id"`
		Time      int64             `json:"time"`
		Messaging []json.RawMessage `json:"messaging"`
		Standby   []json.RawMessage `json:"standby"`
	} `json:"entry"`
}

func decodeBody(tb testing.TB, body []byte) webhookBody {
	tb.Helper()
	var b webhookBody
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&b); err != nil {
		tb.Fatalf("body %s: %v", body, err)
	}
	return b
}
