package ingress_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/services/ingress"
)

// While a message is in flight, the next one fills: one publish at a time, and
// many requests in one message.
func TestWaitingEventsShareAMessage(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	g := newGate(conn)
	s := service(t, ingress.Config{}, deps(g))
	var a answers
	a.send(t, s, post(message(7, "m_0", "x")))
	<-g.arrived
	// The first is in flight. 300 more of the same thread, in 3 requests.
	for request := range 3 {
		elements := make([]string, 100)
		for i := range elements {
			elements[i] = message(7, fmt.Sprintf("m_%d_%d", request, i), "x")
		}
		before := a.waiting(s)
		a.send(t, s, post(elements...))
		a.untilWaiting(s, before+100)
	}
	g.verdict <- nil
	sizes := []int{}
	for range 2 {
		sizes = append(sizes, len(decode(t, <-g.arrived).GetEvents()))
		g.verdict <- nil
	}
	if diff := cmp.Diff([]int{200, 200, 200, 200}, a.wait()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{256, 44}, sizes); diff != "" {
		t.Error(diff)
	}
	batches, _ := stored(t, conn)
	if got := mids(batches)[7]; len(got) != 301 || len(batches) != 3 {
		t.Errorf("%d events in %d messages", len(got), len(batches))
	}
}

// waiting is how many events wait in lanes; see export_test.go.
func (a *answers) waiting(s *ingress.Service) int { return ingress.Waiting(s) }

func (a *answers) untilWaiting(s *ingress.Service, n int) {
	for ingress.Waiting(s) < n {
		ingress.Yield()
	}
}

func TestAMessageHoldsItsBytes(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	var c tally
	d := deps(conn)
	d.Observer = c.observer()
	s := service(t, ingress.Config{}, d)
	var elements []string
	for i := range 9 { // 1.8 MB, then one larger than a message, then a small one
		elements = append(elements, message(7, "m_"+strconv.Itoa(i), xs(200<<10)))
	}
	elements = append(elements, message(7, "m_9", xs(600<<10)), message(7, "m_10", "x"))
	if w := send(t, s, post(elements...)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	batches, _ := stored(t, conn)
	var sizes []int
	for i, b := range batches {
		sizes = append(sizes, len(b.GetEvents()))
		if c.bytes[i] > 512<<10 && len(b.GetEvents()) > 1 {
			t.Errorf("message %d has %d bytes", i, c.bytes[i])
		}
	}
	if diff := cmp.Diff([]int{2, 2, 2, 2, 1, 1, 1}, sizes); diff != "" {
		t.Error(diff)
	}
	if got := mids(batches)[7]; !slices.IsSortedFunc(got, byNumber) || len(got) != 11 {
		t.Errorf("order: %v", got)
	}
}

func byNumber(a, b string) int { return number(a) - number(b) }

func number(mid string) int {
	n, err := strconv.Atoi(mid[2:])
	if err != nil {
		return -1
	}
	return n
}

// Many platforms' worth of requests at once: nothing is lost and each thread
// keeps its order, within and across requests.
func TestConcurrentRequestsKeepTheOrderOfEachThread(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	var c tally
	d := deps(conn)
	d.Observer = c.observer()
	s := service(t, ingress.Config{}, d)
	run(t, s)
	const clients, requests, each = 24, 12, 5
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			person, n := 1000+client, 0
			for range requests {
				var elements []string
				for range each { // two threads of the client in turn
					elements = append(elements, message(person, "m_"+strconv.Itoa(n), "x"), message(person+500, "m_"+strconv.Itoa(n), "y"))
					n++
				}
				w := httptest.NewRecorder()
				if s.ServeHTTP(w, signed(t, post(elements...))); w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
	wg.Wait()
	batches, _ := stored(t, conn)
	threads := mids(batches)
	if len(threads) != 2*clients {
		t.Errorf("%d threads", len(threads))
	}
	for person, got := range threads {
		if len(got) != requests*each || !slices.IsSortedFunc(got, byNumber) {
			t.Errorf("thread %d: %v", person, got)
		}
	}
	t.Logf("%d events in %d messages", 2*clients*requests*each, len(batches))
}

// Crash points 1 to 3: before the publish, after it without the ack, after the
// ack without the answer. The platform sends again; every event is there, and
// repeats carry the same key.
func TestWhatWasNotAnsweredIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		copies int
		fail   func(ctx context.Context, c *bus.Conn, p int, data []byte) error
	}{
		{"1 before the publish", 1, func(context.Context, *bus.Conn, int, []byte) error { return bus.ErrClosed }},
		{"2 published, ack not seen", 2, func(ctx context.Context, c *bus.Conn, p int, data []byte) error {
			if _, err := c.PublishInbound(ctx, p, data); err != nil {
				return err
			}
			return bus.ErrOutcomeUnknown
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, _ := nats(t, false, 0)
			p := &failing{conn: conn, fail: test.fail}
			s := service(t, ingress.Config{}, deps(p))
			body := post(message(7, "m_1", "x"), message(7, "m_2", "x"))
			if w := send(t, s, body); w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w := send(t, s, body); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			batches, _ := stored(t, conn)
			keys := map[string]int{}
			for _, b := range batches {
				for _, e := range b.GetEvents() {
					keys[string(e.GetDedupe())]++
				}
			}
			if len(keys) != 2 {
				t.Errorf("%d events", len(keys))
			}
			for _, n := range keys {
				if n != test.copies {
					t.Errorf("%d copies", n)
				}
			}
		})
	}
	t.Run("3 stored, not answered", func(t *testing.T) {
		t.Parallel()
		conn, _ := nats(t, false, 0)
		g := newGate(conn)
		s := service(t, ingress.Config{}, deps(g))
		ctx, hangUp := context.WithCancel(t.Context())
		answered := make(chan int, 1)
		r := signed(t, post(message(7, "m_1", "x"))).WithContext(ctx)
		go func() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			answered <- w.Code
		}()
		<-g.arrived
		hangUp()
		if code := <-answered; code != 503 {
			t.Errorf("%d for a client that has gone", code)
		}
		g.verdict <- nil
		for stop := false; !stop; { // the message outlives its request
			batches, _ := stored(t, conn)
			stop = len(batches) == 1
		}
	})
}

// failing fails the first publish.
type failing struct {
	conn *bus.Conn
	once sync.Once
	fail func(ctx context.Context, c *bus.Conn, p int, data []byte) error
}

func (f *failing) PublishInbound(ctx context.Context, p int, data []byte) (uint64, error) {
	var err error
	f.once.Do(func() { err = f.fail(ctx, f.conn, p, data) })
	if err != nil {
		return 0, err
	}
	return f.conn.PublishInbound(ctx, p, data)
}

// A message that fails takes along what waits behind it: else the events of
// one thread could be stored in another order than they came.
func TestAFailedMessageTakesThoseBehindItAlong(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	g := newGate(conn)
	s := service(t, ingress.Config{}, deps(g))
	elements := make([]string, 300) // two messages of one thread
	for i := range elements {
		elements[i] = message(7, "m_"+strconv.Itoa(i), "x")
	}
	var a answers
	a.send(t, s, post(elements...))
	<-g.arrived
	g.verdict <- errors.New("disk on fire")
	if diff := cmp.Diff([]int{503}, a.wait()); diff != "" {
		t.Error(diff)
	}
	a.send(t, s, post(message(7, "m_300", "x")))
	if n := len(decode(t, <-g.arrived).GetEvents()); n != 1 {
		t.Errorf("%d events in the message after the failed one", n)
	}
	g.verdict <- nil
	a.wait()
	if batches, _ := stored(t, conn); len(batches) != 1 {
		t.Errorf("%d messages", len(batches))
	}
	if used := ingress.Used(s); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}

func TestRequestsWaitOutAnElectionAndNoLonger(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	g := newGate(conn)
	s := service(t, ingress.Config{}, deps(g))
	var a answers
	a.send(t, s, post(message(7, "m_1", "x")))
	for range 3 {
		<-g.arrived
		g.verdict <- bus.ErrUnavailable
	}
	<-g.arrived
	g.verdict <- nil
	if diff := cmp.Diff([]int{200}, a.wait()); diff != "" {
		t.Error(diff)
	}
}

func TestNATSGoneIs503(t *testing.T) {
	t.Parallel()
	conn, server := nats(t, false, 0)
	s := service(t, ingress.Config{AnswerWithin: 50 * time.Millisecond}, deps(conn))
	server.Stop()
	w := send(t, s, post(message(7, "m_1", "x")))
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	ingress.WaitForLanes(s)
}

func TestAFullStreamIs503AndNothingIsDeleted(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 64<<10)
	var c tally
	d := deps(conn)
	d.Observer = c.observer()
	s := service(t, ingress.Config{}, d)
	accepted := 0
	for c.results[ingress.ResultFull] == 0 && accepted < 100 {
		if w := send(t, s, post(message(7, "m_"+strconv.Itoa(accepted), xs(8<<10)))); w.Code == 200 {
			accepted++
		} else if w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	batches, _ := stored(t, conn)
	if accepted == 0 || accepted == 100 || len(mids(batches)[7]) != accepted {
		t.Errorf("%d accepted, %d stored", accepted, len(mids(batches)[7]))
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	conn, _ := nats(t, false, 0)
	var c tally
	d := deps(nil)
	g := newGate(conn)
	d.Publisher, d.Observer = unawaited{g}, c.observer()
	s := service(t, ingress.Config{MaxBodyBytes: 32 << 10, MaxPendingBytes: 128 << 10}, d)
	var a answers
	a.send(t, s, post(message(7, "m_0", "x")))
	<-g.arrived
	full := 0
	for i := range 20 { // each holds its body and its event: at most 4 fit
		before := ingress.Waiting(s)
		a.send(t, s, post(message(7, "m_"+strconv.Itoa(i+1), xs(20<<10))))
		for ingress.Waiting(s) == before && full == 0 {
			ingress.Yield()
			c.mu.Lock()
			full = c.results[ingress.ResultFull]
			c.mu.Unlock()
		}
		if used := ingress.Used(s); used > 128<<10 {
			t.Fatalf("%d bytes are reserved", used)
		}
		if full > 0 {
			break
		}
	}
	if full == 0 {
		t.Error("nothing was refused")
	}
	go func() {
		g.verdict <- nil
		for range g.arrived {
			g.verdict <- nil
		}
	}()
	codes := a.wait()
	ingress.WaitForLanes(s)
	close(g.arrived)
	if !slices.Contains(codes, 200) || !slices.Contains(codes, 503) {
		t.Errorf("%v", codes)
	}
	if used := ingress.Used(s); used != 0 {
		t.Errorf("%d bytes are still reserved", used)
	}
}
