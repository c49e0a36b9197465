package fanout

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

func TestEntryTimeStaysTheSameOnRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.end.respond(status(500))
		b.send(1, 1)
		pass(time.Minute)
		posts := b.end.all()
		if len(posts) < 3 {
			t.Fatalf("%d posts", len(posts))
		}
		for i, p := range posts {
			if string(p.body) != string(posts[0].body) || p.ids[0] != "0-1" || p.attempt != fmt.Sprint(i+1) {
				t.Errorf("post %d: ids %v attempt %s body %s", i, p.ids, p.attempt, p.body)
			}
		}
	})
}

func TestRetryClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{RetryFor: 6 * time.Hour})
		b.end.respond(status(500))
		b.send(1, 1)
		pass(3 * time.Hour)
		posts := b.end.all()
		want := []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, time.Hour}
		for i, w := range want {
			if i+1 >= len(posts) {
				t.Fatalf("only %d posts", len(posts))
			}
			got := posts[i+1].at.Sub(posts[i].at)
			if got < w*8/10 || got > w*12/10+time.Second {
				t.Errorf("pause %d: %v, want about %v", i+1, got, w)
			}
		}
		if f, _ := b.sink.clock(1); f.attempts != len(posts) || !f.first.Equal(posts[0].at) {
			t.Errorf("clock %+v after %d posts", f, len(posts))
		}
	})
}

func TestAnswersByStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Outcome{
		200: OutcomeDelivered, 204: OutcomeDelivered, 299: OutcomeDelivered, 302: "", 408: "", 409: "", 425: "", 429: "",
		500: "", 503: "", 599: "", 400: OutcomeRejected, 401: OutcomeRejected, 404: OutcomeRejected, 422: OutcomeRejected,
		410: "",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, App{})
			b.end.respond(status(code))
			b.send(1, 1)
			pass(500 * time.Millisecond)
			if got := b.outcome(1); got != want {
				t.Errorf("%d: outcome %q, want %q", code, got, want)
			}
			b.end.respond(status(200))
			b.send(2, 1)
			pass(time.Hour)
			if code != 410 && b.sink.count() != 2 {
				t.Errorf("%d: %d finished after it recovered", code, b.sink.count())
			}
		})
	}
}

func TestGonePausesTheAppAndKeepsTheEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		paused := make(chan string, 1)
		b.onPause = func(_ control.AppID, reason string) { paused <- reason }
		b.end.respond(status(http.StatusGone))
		b.send(1, 1, 2)
		if reason := <-paused; !strings.Contains(reason, "410") {
			t.Errorf("reason %q", reason)
		}
		pass(time.Hour)
		posts := len(b.end.all())
		b.end.respond(status(200))
		b.setPaused(false)
		synctest.Wait()
		if b.sink.count() != 2 || posts > 2 {
			t.Fatalf("%d finished, %d posts while paused", b.sink.count(), posts)
		}
	})
}

func TestRetryAfterHoldsTheWholeApp(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{"90": 90 * time.Second, "86400": time.Hour, "junk": 0, "-5": 0} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, App{})
			b.end.change(func(p *endpoint) { p.header = http.Header{"Retry-After": {header}} })
			b.end.respond(status(http.StatusTooManyRequests))
			b.send(1, 1)
			synctest.Wait()
			b.end.respond(status(200))
			b.send(2, 2)
			pass(2 * time.Hour)
			posts := b.end.all()
			if len(posts) != 3 {
				t.Fatalf("%q: %d posts", header, len(posts))
			}
			if got := posts[1].at.Sub(posts[0].at); got != want {
				t.Errorf("%q: the next post came after %v, want %v", header, got, want)
			}
		})
	}
}

func TestExhaustedEventIsSkippedAndTheThreadGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{RetryFor: 10 * time.Minute})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if p.ids[0] == "0-1" {
				return 500, 0, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1)
		synctest.Wait()
		b.send(2, 1)
		pass(time.Hour)
		if b.outcome(1) != OutcomeExhausted || b.outcome(2) != OutcomeDelivered {
			t.Fatalf("outcomes %v", b.ends())
		}
	})
}

func TestBlockedThreadWaitsForAnOperatorOthersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{OnExhausted: BlockThread})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if p.ids[0] == "0-1" {
				return 400, 0, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1)
		synctest.Wait()
		b.send(2, 1, 2)
		pass(time.Hour)
		if b.outcome(1) != "" || b.outcome(2) != "" || b.outcome(3) != OutcomeDelivered || b.status().Blocked != 1 {
			t.Fatalf("outcomes %v, %d blocked", b.ends(), b.status().Blocked)
		}
		b.end.respond(status(200))
		b.setPaused(false)
		synctest.Wait()
		if b.sink.count() != 3 || b.status().Blocked != 0 {
			t.Fatalf("after resume: %v", b.ends())
		}
	})
}

func TestPauseAppOnExhaustionKeepsEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{OnExhausted: PauseApp})
		b.end.respond(status(400))
		b.send(1, 1, 2)
		pass(time.Hour)
		if b.sink.count() != 0 || !b.status().Paused {
			t.Fatalf("%v, paused %v", b.ends(), b.status().Paused)
		}
	})
}

func TestFailedBatchGoesOutOnePerPostAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if slices.Contains(p.ids, "0-2") {
				return 500, 0, nil
			}
			return 200, 0, nil
		})
		started := time.Now()
		b.send(1, 1, 2, 3, 1)
		synctest.Wait()
		if b.sink.count() != 3 || b.outcome(2) != "" || time.Since(started) != 0 {
			t.Fatalf("the innocent waited: %v", b.ends())
		}
		for _, p := range b.end.all()[1:] {
			if len(p.ids) != 1 || p.attempt != "2" {
				t.Errorf("after the failed batch: ids %v, attempt %s", p.ids, p.attempt)
			}
		}
	})
}

func TestFailingThreadDoesNotDelayOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 4, MaxBatch: 1})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if len(p.ids[0]) == len("0-1") { // positions 1 to 9 hang until the time-out
				return 200, time.Minute, nil
			}
			return 200, time.Millisecond, nil
		})
		b.send(1, 1, 2, 3)
		pass(time.Minute)
		for i := range 100 {
			at := time.Now()
			b.send(control.Position(1000+i), 50)
			for b.outcome(control.Position(1000+i)) == "" {
				pass(time.Millisecond)
			}
			if took := time.Since(at); took > 3*time.Millisecond {
				t.Fatalf("an innocent thread waited %v", took)
			}
			pass(300 * time.Millisecond)
		}
	})
}

func TestBreakerOpensAndLetsOneHeadThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxBatch: 1})
		b.end.respond(status(500))
		persons := make([]uint64, 100)
		for i := range persons {
			persons[i] = uint64(i + 1)
		}
		b.send(1, persons...)
		synctest.Wait()
		if n := len(b.end.all()); n >= 15 || b.status().Breaker != BreakerOpen {
			t.Fatalf("%d posts before the breaker opened; %v", n, b.status().Breaker)
		}
		before := len(b.end.all())
		pass(time.Minute)
		if n := len(b.end.all()) - before; n < 3 || n > 8 {
			t.Fatalf("%d probes in a minute", n)
		}
		b.end.respond(status(200))
		pass(40 * time.Second)
		// Those that failed wait for their own clocks; all others are through.
		if n := b.sink.count(); n < 75 || b.status().Breaker != BreakerClosed {
			t.Fatalf("%d delivered after it recovered; %v", n, b.status().Breaker)
		}
		pass(3 * time.Minute)
		if b.sink.count() != 100 {
			t.Fatalf("%d delivered in the end", b.sink.count())
		}
	})
}

func TestOneFailingThreadDoesNotOpenTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.end.respond(status(500))
		b.send(1, 1)
		pass(5 * time.Hour)
		if b.status().Breaker != BreakerClosed || len(b.end.all()) < 8 {
			t.Fatalf("%v after %d posts", b.status().Breaker, len(b.end.all()))
		}
	})
}

func TestDeadAppsEventsAreGivenUpAfterRetryFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{RetryFor: time.Hour, MaxBatch: 1})
		b.end.respond(status(500))
		persons := make([]uint64, 200)
		for i := range persons {
			persons[i] = uint64(i + 1)
		}
		b.send(1, persons...)
		pass(30 * time.Minute)
		b.send(201, 201)
		pass(32 * time.Minute)
		if b.sink.count() != 200 || b.outcome(1) != OutcomeExhausted || b.outcome(200) != OutcomeExhausted {
			t.Fatalf("%d given up after an hour, want 200", b.sink.count())
		}
		pass(30 * time.Minute)
		if b.outcome(201) != OutcomeExhausted {
			t.Fatal("a later event was not given up after its own hour")
		}
	})
}
