package simulator_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/services/simulator"
)

func TestWebhooksOfAThreadArriveInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for i := range 200 {
		text := fmt.Sprint("message ", i)
		want = append(want, text)
		if _, err := w.sim.Message(page, person, text, simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	var last float64
	for _, text := range want {
		g := w.ingress.next()
		if g.part("message")["text"] != text {
			t.Fatalf("got %s, want %s", g.body, text)
		}
		if at, _ := g.event["timestamp"].(float64); at <= last {
			t.Fatalf("timestamp %v after %v", at, last)
		} else {
			last = at
		}
	}
}

func TestThreadsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	release := make(chan struct{})
	var once sync.Once
	open := func() { once.Do(func() { close(release) }) }
	t.Cleanup(open)
	f.holds(`"sender":{"id":"`+fmt.Sprint(person), release)
	w := start(t, f, baseConfig(t, f.URL))
	for _, p := range []uint64{person, other} {
		if _, err := w.sim.Message(page, p, "hello", simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if g := f.next(); g.part("sender")["id"] != fmt.Sprint(other) {
		t.Errorf("got %s", g.body)
	}
	open()
	if g := f.next(); g.part("sender")["id"] != fmt.Sprint(person) {
		t.Errorf("got %s", g.body)
	}
}

func TestWebhooksAreRepeatedOn5xxUntilAcceptedByteForByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var bodies [][]byte
	w.ingress.answers(func(n int, body []byte) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, body)
		if n < 3 {
			return 503, ""
		}
		return 200, ""
	})
	if _, err := w.sim.Message(page, person, "one", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sim.Message(page, person, "two", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if first, second := w.ingress.next(), w.ingress.next(); first.part("message")["text"] != "one" || second.part("message")["text"] != "two" {
		t.Errorf("%s\n%s", first.body, second.body)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(bodies) != 4 || !bytes.Equal(bodies[0], bodies[1]) || !bytes.Equal(bodies[0], bodies[2]) {
		t.Errorf("%d attempts: %s", len(bodies), bytes.Join(bodies, []byte("\n")))
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ingress.answers(func(n int, _ []byte) (int, string) {
		if n == 1 {
			return 503, "1"
		}
		return 200, ""
	})
	began := time.Now()
	if _, err := w.sim.Message(page, person, "one", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if g := w.ingress.next(); g.at.Sub(began) < time.Second {
		t.Errorf("repeated after %v", g.at.Sub(began))
	}
}

func TestAWebhookRefusedAsMalformedIsDroppedAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ingress.answers(func(n int, _ []byte) (int, string) {
		if n == 1 {
			return 400, ""
		}
		return 200, ""
	})
	for _, text := range []string{"one", "two"} {
		if _, err := w.sim.Message(page, person, text, simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if g := w.ingress.next(); g.part("message")["text"] != "two" {
		t.Errorf("got %s", g.body)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	c := baseConfig(t, f.URL)
	c.RetryFor = 50 * time.Millisecond
	w := start(t, f, c)
	f.answers(func(_ int, body []byte) (int, string) {
		if bytes.Contains(body, []byte("lost")) {
			return 500, ""
		}
		return 200, ""
	})
	for _, text := range []string{"lost", "kept"} {
		if _, err := w.sim.Message(page, person, text, simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if g := f.next(); g.part("message")["text"] != "kept" {
		t.Errorf("got %s", g.body)
	}
}

func TestWebhooksNotAcceptedSurviveARestart(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	c := baseConfig(t, f.URL)
	w := start(t, f, c)
	tried := make(chan struct{}, 64)
	f.answers(func(int, []byte) (int, string) {
		select {
		case tried <- struct{}{}:
		default:
		}
		return 503, "1"
	})
	mid, err := w.sim.Message(page, person, "keep <me> & mine", simulator.MessageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.sim.React(page, person, mid, "love"); err != nil {
		t.Fatal(err)
	}
	<-tried
	w.stop()
	f.answers(nil)
	start(t, f, c)
	if g := f.next(); g.part("message")["mid"] != mid || g.part("message")["text"] != "keep <me> & mine" {
		t.Errorf("got %s", g.body)
	}
	if got := f.next().kind(); got != "reaction" {
		t.Errorf("then %s", got)
	}
}

func TestWhatHappensBeforeRunIsPushedOnceItRuns(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	c := baseConfig(t, f.URL)
	c.Listen = ""
	w := start(t, f, c)
	w.writes("first")
	w.stop()
	if _, err := w.sim.Message(page, person, "after the end", simulator.MessageOptions{}); err != nil {
		t.Fatal(err) // kept in memory of a stopped service, pushed by nobody
	}
	if len(f.hits) != 0 {
		t.Error("a stopped simulator pushes")
	}
}

func TestVerifyPerformsTheHandshake(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	w := start(t, f, baseConfig(t, f.URL))
	if err := w.sim.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	c := baseConfig(t, f.URL)
	c.VerifyToken = "wrong"
	if err := start(t, f, c).sim.Verify(t.Context()); err == nil {
		t.Error("a wrong token was accepted")
	}
}

func TestSeveralPeopleAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const people, each = 20, 10
	var wg sync.WaitGroup
	for p := range people {
		wg.Go(func() {
			for range each {
				if _, err := w.sim.Message(page, 8_000_000_000_000_001+uint64(p), "hi", simulator.MessageOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var mids []string
	for range people * each {
		mid, _ := w.ingress.next().part("message")["mid"].(string)
		mids = append(mids, mid)
	}
	slices.Sort(mids)
	if n := len(slices.Compact(mids)); n != people*each {
		t.Errorf("%d different ids of %d", n, people*each)
	}
}
