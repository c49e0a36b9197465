package traffic

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "app-secret"

// sink runs a sink for the test.
func sink(t *testing.T, threads int) *Sink {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan *Sink, 1), make(chan error, 1)
	go func() {
		done <- ServeSink(ctx, SinkSpec{Apps: 2, Threads: threads, Secret: secret, Verify: "verify"}, func(s *Sink) { ready <- s })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return <-ready
}

func spec(s *Sink) LoadSpec {
	return LoadSpec{Host: s.host, Target: "/app/0", Secret: secret, Page: 100, Threads: 41, Conns: 4}
}

// TestLoadIsCountedAndInOrder posts straight to a sink: every event is there
// once, in order, signed, whatever the shape of the load.
func TestLoadIsCountedAndInOrder(t *testing.T) {
	t.Parallel()
	s, platform := sink(t, 41), new(Platform)
	load := spec(s)
	for _, shape := range []struct {
		events, perPost int
		rate            float64
		during          time.Duration
	}{{500, 1, 0, 0}, {501, 20, 0, 0}, {503, 7, 0, 0}, {2, 7, 0, 0}, {200, 1, 5000, 0}, {0, 3, 0, 20 * time.Millisecond}, {500, 20, 0, time.Hour}} {
		load.Events, load.PerPost, load.Rate, load.For = shape.events, shape.perPost, shape.rate, shape.during
		got, err := platform.Load(t.Context(), load)
		if err != nil {
			t.Fatal(err)
		}
		report, err := s.Obey(t.Context(), SinkOrder{Do: "await", Apps: []int{0}, Count: got.Events, Quiet: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		app := report.Apps[0]
		if app.Deliveries != got.Events || app.Faults() > 0 || app.Posts != got.Posts || app.Latency.Count != app.Deliveries ||
			got.Events == 0 || shape.events > 0 && got.Events != uint64(shape.events) {
			t.Errorf("%+v: received %+v, posted %+v", shape, app, got)
		}
		if _, err := s.Obey(t.Context(), SinkOrder{Do: "reset"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []func(*LoadSpec){
		func(l *LoadSpec) { l.Threads = 3 }, func(l *LoadSpec) { l.Events, l.For = 0, 0 }, func(l *LoadSpec) { l.PerPost = 0 },
		func(l *LoadSpec) { l.Conns = 8 }, func(l *LoadSpec) { l.Target = "/nobody" },
	} {
		wrong := load
		bad(&wrong)
		if got, err := platform.Load(t.Context(), wrong); err == nil {
			t.Errorf("%+v is done: %+v", wrong, got)
		}
	}
}

// TestFurtherLatenciesAreAdded: of loads that take turns with others, the counts are
// those of the last one, the latencies those of all.
func TestFurtherLatenciesAreAdded(t *testing.T) {
	t.Parallel()
	s := NewSink(SinkSpec{Apps: 1, Threads: 10, Secret: secret}, "")
	load := &LoadSpec{Page: 1, Threads: 10, Conns: 1}
	for i, c := range []struct {
		further bool
		latest  uint64
	}{{false, 1}, {true, 2}, {true, 3}, {false, 1}} {
		if _, err := s.Obey(t.Context(), SinkOrder{Do: "reset", Further: c.further}); err != nil {
			t.Fatal(err)
		}
		s.apps[0].take(AppendWebhook(nil, load, 0, i, 1, time.Now()), time.Now(), true)
		got, err := s.Obey(t.Context(), SinkOrder{Do: "tally"})
		if err != nil || got.All.Count != c.latest || got.Apps[0].Deliveries != 1 {
			t.Errorf("load %d: %+v, %v", i, got, err)
		}
	}
}

// TestSinkSeesFaults: what is lost, doubled, overtaken or not signed is counted.
func TestSinkSeesFaults(t *testing.T) {
	t.Parallel()
	s := NewSink(SinkSpec{Apps: 1, Threads: 10, Secret: secret}, "")
	load := &LoadSpec{Page: 1, Threads: 10, Conns: 1}
	event := func(i int) []byte { return AppendWebhook(nil, load, 0, i, 1, time.Now()) }
	for _, i := range []int{0, 10, 10, 30, 20, 1} { // 10 twice, 20 after 30
		s.apps[0].take(event(i), time.Now(), true)
	}
	s.apps[0].take(event(11), time.Now(), false)
	s.apps[0].take([]byte(`{"object":"page","entry":[]}`), time.Now(), true)
	got := s.apps[0].sum(new(histogram))
	if got.Deliveries != 5 || got.Repeated != 2 || got.Ahead != 1 || got.Unsigned != 1 || got.Other != 1 || !strings.Contains(got.Example, "thread 0") {
		t.Errorf("%+v", got)
	}
}

// TestBodiesAreWebhooks: the product's parser reads what the load posts, and
// the product's signature is the load's.
func TestBodiesAreWebhooks(t *testing.T) {
	t.Parallel()
	body := AppendWebhook(nil, &LoadSpec{Page: 100, Threads: 10, Conns: 10}, 3, 1, 3, time.Now())
	got, err := webhook.Parse(body, webhook.Limits{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range got.Events {
		s, rest, ok := nextStamp(e.Raw)
		if e.Asset != 100 || e.Person != FirstPerson+3 || !ok || s.thread != 3 || s.number != uint32(i+1) || len(e.Raw) < 350 {
			t.Errorf("event %d: %+v, %+v", i, e, s)
		}
		if _, _, ok := nextStamp(rest); ok {
			t.Errorf("event %d has two marks", i)
		}
	}
	signer := NewSigner(secret)
	if len(got.Events) != 3 || signer.Sign(body) != webhook.Sign256([]byte(secret), body) ||
		!signer.Signed(body, []byte(signer.Sign(body))) || signer.Signed(body[1:], []byte(signer.Sign(body))) {
		t.Errorf("%d events, signature %s", len(got.Events), signer.Sign(body))
	}
}

// TestCallsGoRoundTheThreads counts the calls of each step.
func TestCallsGoRoundTheThreads(t *testing.T) {
	t.Parallel()
	s := sink(t, 10)
	spec := CallSpec{Host: s.host, Threads: 10, Conns: 3, Times: 2, Steps: []Step{{Target: "/app/0"}, {Target: "/app/1"}}, Extra: &Step{Target: "/app/1"}}
	got, err := Call(t.Context(), spec)
	report, _ := s.Obey(t.Context(), SinkOrder{Do: "tally"})
	if err != nil || got.Calls != 45 || report.Apps[0].Other != 20 || report.Apps[1].Other != 25 {
		t.Errorf("%+v, %v, %+v", got, err, report)
	}
	spec.Steps[0].Target = "/nobody"
	if _, err := Call(t.Context(), spec); err == nil {
		t.Error("a refused call is no error")
	}
}

// TestHistogramQuantiles: quantiles are right within the width of a class.
func TestHistogramQuantiles(t *testing.T) {
	t.Parallel()
	var h, other histogram
	for i := 1; i <= 5000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
		other.add(time.Duration(5000+i) * time.Microsecond)
	}
	h.merge(&other)
	got := h.latency()
	near := func(got time.Duration, want float64) bool {
		ratio := float64(got) / (want * float64(time.Microsecond))
		return ratio > .98 && ratio < 1.02
	}
	if got.Count != 10000 || !near(got.P50, 5000) || !near(got.P99, 9900) || !near(got.P999, 9990) || got.Most != 10*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if empty := new(histogram).latency(); empty != (Latency{}) {
		t.Errorf("empty: %+v", empty)
	}
	var one histogram
	one.add(7)
	if one.quantile(.99) != 7 {
		t.Errorf("of one: %v", one.quantile(.99))
	}
}
