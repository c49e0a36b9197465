package ownership

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/store"
)

// refusingLog fails every claim at its first look, and notes when it was tried.
type refusingLog struct {
	Log
	began time.Time
	tries []time.Duration
	most  int
	end   func()
}

func (l *refusingLog) LastLog(context.Context, int) (bus.Message, error) {
	l.tries = append(l.tries, time.Since(l.began))
	if len(l.tries) == l.most {
		l.end()
	}
	return bus.Message{}, bus.ErrUnavailable
}

// A claim that fails is tried again at once, as far as a person can tell, and
// less and less often while nothing changes.
func TestAFailedClaimIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	s, err := store.Open(store.Options{Dir: t.TempDir(), CacheBytes: 1 << 20, MemTableBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log := &refusingLog{began: time.Now(), most: 8, end: cancel}
		svc, err := New(Config{Partitions: 1}, Deps{Log: log, Store: s, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		svc.holders[0].tenures(ctx)
		most := []time.Duration{soonest, 2 * soonest, 4 * soonest, 8 * soonest, 16 * soonest, latest, latest}
		if log.tries[0] != 0 {
			t.Errorf("the first claim came after %s", log.tries[0])
		}
		for i, want := range most {
			if pause := log.tries[i+1] - log.tries[i]; pause < want/2 || pause >= want {
				t.Errorf("pause %d is %s, want about %s", i, pause, want)
			}
		}
	})
}

func TestClaimsAreSpaced(t *testing.T) {
	t.Parallel()
	failed := errors.New("no leader")
	var s spacing
	check := func(what string, pause, want time.Duration) {
		t.Helper()
		if pause < want/2 || pause >= want {
			t.Errorf("%s: %s, want %s at most", what, pause, want)
		}
	}
	for range 20 {
		s.after(failed, 0)
	}
	check("what keeps failing", s.after(failed, 0), latest)
	check("a tenure that has lasted", s.after(failed, latest), soonest)
	check("and failed again at once", s.after(failed, 0), 2*soonest)
	check("who was deposed leaves time to hear of it", s.after(errDeposed, time.Hour), latest)
	check("and goes on so while that does not last", s.after(errDeposed, 0), latest)
	var spread []time.Duration
	for range 100 {
		var s spacing
		spread = append(spread, s.after(failed, 0))
	}
	if len(slices.Compact(slices.Sorted(slices.Values(spread)))) < 50 {
		t.Errorf("two nodes would meet again: %v", spread)
	}
}

// A claim that loses against records of another holder, more often than it is
// repeated at once, gets through when those end.
func TestAClaimThatIsOutrunIsTriedAgain(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	tries, trying, outrun := 0, make(chan struct{}), make(chan struct{})
	b.log.inject(func(l *faultyLog) {
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			if tries++; tries <= claimTries+2 {
				trying <- struct{}{}
				<-outrun
			}
			return l.Log.AppendLog(t.Context(), p, data, expected)
		}
	})
	before := a.svc.Epoch(0)
	b.svc.Hold(0)
	for range claimTries + 2 {
		<-trying
		a.consumed(0, a.arrive(a.message(person(0, 0))))
		outrun <- struct{}{}
	}
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > before })
	a.svc.Yield(0)
	b.svc.Yield(0)
	if tries < claimTries+3 {
		t.Errorf("claimed after %d tries", tries)
	}
	a.check()
}

// Between the look at the log's end and the claim a node asks for nothing else: a
// busy holder that does not know of it leaves little time.
func TestNothingComesBetweenTheLogsEndAndAClaim(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	a.held()
	calls := b.asks(0)
	before := a.svc.Epoch(0)
	b.svc.Hold(0)
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > before })
	if list := calls(); !slices.Contains(list, "append") || slices.Index(list, "append") < 1 || list[slices.Index(list, "append")-1] != "end" {
		t.Errorf("the claim asked for %v", list)
	}
}

// asks notes what a node asks of the log for a partition from now on; calls are the
// names of that.
func (w *world) asks(partition int) (calls func() []string) {
	var mu sync.Mutex
	var list []string
	w.log.inject(func(l *faultyLog) {
		l.asked = func(p int, call string) {
			mu.Lock()
			defer mu.Unlock()
			if p == partition {
				list = append(list, call)
			}
		}
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

// prepare waits until the standby has what the other node has, and has it prepare.
func (w *world) prepare(a *world) {
	w.t.Helper()
	w.until("the standby has everything", func() bool {
		return len(w.svc.Unable()) == 0 && w.svc.holders[0].part.Applied().Sequence == a.logEnd(0)
	})
	w.svc.Prepare(w.t.Context(), 0)
}

// Who is prepared asks for nothing before the claim: its record tells whether the
// standby has read the log to its end.
func TestAPreparedClaimIsItsRecordAlone(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	a.held()
	b.prepare(a)
	a.svc.Yield(0)
	calls := b.asks(0)
	b.svc.Hold(0)
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > 0 })
	if list := calls(); len(list) == 0 || list[0] != "append" {
		t.Errorf("the claim asked for %v", list)
	}
	b.consumed(0, b.arrive(b.message(person(0, 0))))
	b.check()
}

// Nor does a record that comes after that go by: the claim is refused, and the log
// is read.
func TestAPreparedClaimPassesNoRecordOver(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	a.held()
	b.prepare(a)
	h := b.svc.holders[0]
	h.folding.Lock() // its reader waits
	a.consumed(0, a.arrive(a.message(person(0, 1))))
	a.svc.Yield(0)
	end := a.logEnd(0)
	h.applied = h.part.Applied()
	topic, ready, err := h.outset(t.Context())
	if !ready || err != nil || h.applied.Sequence >= end {
		t.Fatalf("prepared %t, at %d of %d, topic %d, %v", ready, h.applied.Sequence, end, topic, err)
	}
	h.foreseen = foresight{h.trustNow(), topic} // as it was
	h.tenured = true
	err = h.claim(t.Context())
	h.reset()
	h.tenured = false
	h.folding.Unlock()
	if err != nil || h.part.Applied().Sequence <= end {
		t.Errorf("claimed at %d behind %d: %v", h.part.Applied().Sequence, end, err)
	}
	b.svc.Hold(0)
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > 0 })
	b.check()
}

// What was found a while ago counts no more.
func TestAPreparationLapses(t *testing.T) {
	t.Parallel()
	a := started(t, several)
	a.consumed(0, a.arrive(a.message(person(0, 0))))
	b := a.second()
	a.held()
	b.prepare(a)
	h := b.svc.holders[0]
	h.folding.Lock()
	h.foreseen.since = h.foreseen.since.Add(-bus.TrustFor)
	h.folding.Unlock()
	calls := b.asks(0)
	a.svc.Yield(0)
	b.svc.Hold(0)
	b.until("the second node holds the partition", func() bool { return b.svc.Epoch(0) > 0 })
	if list := calls(); len(list) < 2 || !slices.Contains(list[:slices.Index(list, "append")], "last") {
		t.Errorf("the claim asked for %v", list)
	}
}
