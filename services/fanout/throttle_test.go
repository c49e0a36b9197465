package fanout

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// waiting is how many events wait in a backlog of these tests.
const waiting = 900

// overdue are letters of as many threads, decided ten seconds ago.
func (b *bench) overdue() []*letter {
	letters := make([]*letter, waiting)
	for i := range letters {
		letters[i] = b.letter(control.Position(i+1), uint64(i+1))
		letters[i].at -= control.Millis((10 * time.Second).Milliseconds())
	}
	return letters
}

func TestBacklogGivesWayToPostsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &throttle{}
		back, well := newBench(t, App{MaxBatch: 1}), newBench(t, App{MaxBatch: 1})
		back.throttle, well.throttle = shared, shared

		back.offer(back.overdue())
		synctest.Wait()
		if n := back.sink.count(); n != waiting {
			t.Fatalf("%d of %d delivered on an idle node before any time went by", n, waiting)
		}
		well.send(1, 1)
		synctest.Wait()
		back.sink = newSink()
		back.offer(back.overdue())
		pass(100 * time.Millisecond)
		if n := back.sink.count(); n < 20 || n > waiting/2 {
			t.Errorf("%d delivered in the first 100 ms beside another app, want some and not most", n)
		}
		well.send(2, 1)
		synctest.Wait()
		if n := well.sink.count(); n != 2 {
			t.Errorf("%d of 2 events in time delivered at once", n)
		}
		pass(2 * time.Second)
		if n := back.sink.count(); n != waiting {
			t.Errorf("%d of %d delivered in the end", n, waiting)
		}
		pass(timelyFor)
		back.sink = newSink()
		back.offer(back.overdue())
		synctest.Wait()
		if n := back.sink.count(); n != waiting {
			t.Errorf("%d of %d delivered at once when there was nobody to give way to any more", n, waiting)
		}
	})
}

func TestRetriesAreNotHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxBatch: 1})
		b.end.respond(status(500))
		b.send(1, 1)
		synctest.Wait()
		b.end.respond(nil)
		pass(time.Second - retrySteps[0]/5) // not yet
		b.throttle.mu.Lock()
		b.throttle.rate, b.throttle.counted = 1e-9, time.Now() // nothing late would ever be let go
		b.throttle.mu.Unlock()
		pass(3 * time.Second)
		b.send(2, 2)
		synctest.Wait()
		if b.outcome(1) != OutcomeDelivered || b.outcome(2) != OutcomeDelivered {
			t.Errorf("ended: %s", b.ends())
		}
	})
}

func TestThrottleIsFairToThoseThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &throttle{}
		well, crowd := newBench(t, App{}), make([]*bench, 5)
		well.throttle = shared
		well.send(1, 1)
		synctest.Wait()
		for i := range crowd {
			crowd[i] = newBench(t, App{MaxBatch: 1})
			crowd[i].throttle = shared
			crowd[i].offer(crowd[i].overdue())
		}
		pass(500 * time.Millisecond)
		least, most := waiting, 0
		for _, b := range crowd {
			least, most = min(least, b.sink.count()), max(most, b.sink.count())
		}
		if least == 0 || most > 2*least {
			t.Errorf("of five apps that are alike one was let go %d times and another %d times", least, most)
		}
	})
}

func TestThrottleFollowsTheProcessors(t *testing.T) {
	t.Parallel()
	now := time.Now()
	th := &throttle{}
	th.count(now)
	for range 100 {
		th.adapt(time.Millisecond, now)
	}
	if want := float64(throttleBegin + 100*throttleGrow); th.rate != want {
		t.Errorf("after a hundred turns in time %v POSTs a second, want %v", th.rate, want)
	}
	before := th.rate
	th.adapt(10*time.Millisecond, now)
	th.adapt(10*time.Millisecond, now.Add(time.Millisecond)) // the same jam
	if want := before * throttleCut; th.rate != want {
		t.Errorf("after a late turn %v POSTs a second, want %v", th.rate, want)
	}
	for i := range 100 {
		th.adapt(time.Second, now.Add(time.Duration(i)*throttleCutEvery))
	}
	if th.rate != throttleLeast {
		t.Errorf("%v POSTs a second when all is late, want %v", th.rate, float64(throttleLeast))
	}
	th.timely.Store(now.UnixNano())
	if rest := th.rest(2*defaultBatch*throttleLeast, now); rest != time.Second {
		t.Errorf("a reader rests %v", rest)
	}
	if rest := th.rest(1000, now.Add(timelyFor)); rest != 0 {
		t.Errorf("a reader rests %v beside nobody", rest)
	}
}
