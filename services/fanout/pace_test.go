package fanout

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// persons are as many different ones, from first on.
func persons(first, n int) []uint64 {
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(first + i)
	}
	return list
}

func TestSlotsGrowWhileAllAreInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 40, MaxBatch: 1})
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, 3 * time.Second, nil })
		b.send(1, persons(1, 400)...)
		synctest.Wait()
		if n := b.status().InFlight; n != paceBegin {
			t.Errorf("begins with %d", n)
		}
		pass(time.Minute)
		if n := b.status().Slots; n < 15 {
			t.Errorf("%d slots after a minute of a slow, steady endpoint", n)
		}
		pass(5 * time.Minute)
		if n := b.status().Slots; b.sink.count() != 400 || n > 40 {
			t.Errorf("%d slots, %d delivered", n, b.sink.count())
		}
	})
}

func TestSlotsShrinkWhenTheEndpointIsPressed(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(flying int, p posted) (int, time.Duration, error){
		"429": func(flying int, _ posted) (int, time.Duration, error) {
			if flying > 8 {
				return 429, 50 * time.Millisecond, nil
			}
			return 200, 50 * time.Millisecond, nil
		},
		"5xx": func(flying int, _ posted) (int, time.Duration, error) {
			if flying > 8 {
				return 500, 50 * time.Millisecond, nil
			}
			return 200, 50 * time.Millisecond, nil
		},
		// One event takes 50 ms of the endpoint's time, eight at once.
		"latency": func(flying int, _ posted) (int, time.Duration, error) {
			return 200, time.Duration(max(flying, 8)) * 50 * time.Millisecond / 8, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, App{MaxInFlight: 200, MaxBatch: 1})
			var flying atomic.Int32
			count := func(by int32) int { return int(flying.Add(by)) }
			b.end.change(func(p *endpoint) {
				p.answer = func(s posted) (int, time.Duration, error) { return answer(count(1), s) }
				p.landed = func(posted) { count(-1) }
			})
			most, next := 0, 1
			for range 300 {
				b.send(control.Position(next), persons(next, 20)...)
				next += 20
				pass(100 * time.Millisecond)
				if next > 3000 {
					most = max(most, b.status().Slots)
				}
			}
			if most < 4 || most > 40 {
				t.Errorf("%s: up to %d slots for an endpoint that bears 8", name, most)
			}
		})
	}
}

func TestAThreadThatFailsDoesNotTakeTheOthersSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 8, MaxBatch: 1})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if p.ids[0] == "0-1" {
				return 500, 0, nil
			}
			return 200, 10 * time.Millisecond, nil
		})
		b.send(1, 1)
		for i := range 100 {
			b.send(control.Position(100*i+100), persons(100*i+100, 20)...)
			pass(time.Second)
		}
		if n := b.status().Slots; n < 6 {
			t.Errorf("%d slots", n)
		}
	})
}

func TestRetriesAndFirstAttemptsShareNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 4, MaxBatch: 1, Timeout: time.Minute})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if len(p.ids[0]) > len("0-9") {
				return 200, 30 * time.Second, nil // first attempts, slow
			}
			if p.attempt == "1" {
				return 500, 0, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1, 2, 3)
		synctest.Wait()
		b.send(100, persons(100, 60)...)
		pass(31 * time.Second) // all slots were taken by first attempts once
		pass(10 * time.Second)
		if b.sink.count() < 3 || b.outcome(1) == "" || b.outcome(2) == "" || b.outcome(3) == "" {
			t.Errorf("retries waited behind first attempts: %v", b.ends())
		}
	})
}

func TestRateIsNotExceeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 20, MaxBatch: 1, MaxPerSecond: 10})
		b.send(1, persons(1, 100)...)
		pass(5*time.Second + 10*time.Millisecond)
		if n := len(b.end.all()); n < 58 || n > 61 {
			t.Errorf("%d posts in 5 s, want 10 at once and 10 a second", n)
		}
		app := b.settings()
		app.MaxPerSecond = 0
		b.configure(app, nil)
		pass(time.Second)
		if b.sink.count() != 100 {
			t.Errorf("%d delivered without a limit", b.sink.count())
		}
	})
}

func TestBreakerOpensOnAShareOfFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxBatch: 1, MaxInFlight: 2})
		var n atomic.Int32
		b.end.respond(func(posted) (int, time.Duration, error) { // never five in a row
			if n.Add(1)%4 == 0 {
				return 200, time.Millisecond, nil
			}
			return 500, time.Millisecond, nil
		})
		b.send(1, persons(1, 60)...)
		pass(900 * time.Millisecond)
		if st := b.status().Breaker; st != BreakerOpen {
			t.Errorf("%v after %d posts", st, len(b.end.all()))
		}
	})
}

// TestAnAppsShareOfSocketsIsItsOwn: one that has asked for more than its share
// while another holds all that is lent keeps using its share.
func TestAnAppsShareOfSocketsIsItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		common := &sockets{limit: 8}
		greedy, modest := newBenchOn(t, App{MaxInFlight: 100, MaxBatch: 1}, common), newBenchOn(t, App{MaxInFlight: 100, MaxBatch: 1}, common)
		greedy.end.respond(func(posted) (int, time.Duration, error) { return 200, 4 * time.Second, nil })
		modest.end.respond(func(posted) (int, time.Duration, error) { return 200, 10 * time.Millisecond, nil })
		greedy.send(1, persons(1, 400)...)
		pass(30 * time.Second) // it has all four that are lent
		modest.send(1, persons(1, 100)...)
		pass(time.Second)
		if n := modest.sink.count(); n != 100 {
			t.Errorf("%d of 100 delivered beside a slow app within a second of 100 times 10 ms on a share of two sockets", n)
		}
	})
}

func TestOldStandbyEventsAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{StandbyWithin: time.Minute})
		b.setPaused(true)
		for i := range 6 {
			l := b.letter(control.Position(i+1), 1)
			if i%2 == 0 {
				l.channel = control.ChannelStandby
			}
			b.offer([]*letter{l})
		}
		pass(2 * time.Minute)
		fresh := b.letter(7, 1)
		fresh.channel = control.ChannelStandby
		b.offer([]*letter{fresh})
		b.setPaused(false)
		synctest.Wait()
		var got []string
		for _, p := range b.end.all() {
			got = append(got, p.ids...)
		}
		if fmt.Sprint(got) != "[0-2 0-4 0-6 0-7]" || b.outcome(1) != OutcomeOutdated || b.outcome(5) != OutcomeOutdated || b.sink.count() != 7 {
			t.Errorf("got %v, ends %v", got, b.ends())
		}
	})
}

func TestSocketsAreSharedOutAndLent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		common := &sockets{limit: 20}
		greedy, modest := newBenchOn(t, App{MaxInFlight: 100, MaxBatch: 1}, common), newBenchOn(t, App{MaxInFlight: 5, MaxBatch: 1}, common)
		slow := func(posted) (int, time.Duration, error) { return 200, 3 * time.Second, nil }
		greedy.end.respond(slow)
		modest.end.respond(slow)
		greedy.send(1, persons(1, 900)...)
		pass(100 * time.Second)
		if n := greedy.status().InFlight; n != 15 {
			t.Errorf("%d POSTs of the one with much demand: its half share of 10 and all 10 to lend, want 15", n)
		}
		modest.send(1, persons(1, 20)...)
		synctest.Wait()
		if n := modest.status().InFlight; n != paceBegin {
			t.Errorf("%d POSTs of the other, want %d at once", n, paceBegin)
		}
		pass(10 * time.Minute)
		if greedy.sink.count() != 900 || modest.sink.count() != 20 || common.lent != 0 {
			t.Errorf("%d and %d delivered, %d sockets lent in the end", greedy.sink.count(), modest.sink.count(), common.lent)
		}
	})
}
