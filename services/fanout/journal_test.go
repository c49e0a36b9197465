package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// diary is a journal in memory.
type diary struct {
	mu        sync.Mutex
	exchanges []string
	dead      []DeadLetter
	broken    bool
}

func (d *diary) Wants(control.AppID, bool) bool { return true }

func (d *diary) Exchanged(x *Exchange) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := fmt.Sprintf("%s %d attempt %d:", x.Answer, x.Status, x.Attempt)
	for _, p := range x.Deliveries {
		line += fmt.Sprintf(" %s %q", DeliveryID(p.Partition, p.Position), p.Outcome)
		if !p.Next.IsZero() {
			line += " again"
		}
	}
	if x.RequestHeader.Get(headerAttempt) != fmt.Sprint(x.Attempt) || len(x.RequestBody) == 0 || x.Status > 0 && string(x.ResponseBody) != "EVENT_RECEIVED" {
		line += fmt.Sprintf(" header %v body %q answer %q", x.RequestHeader, x.RequestBody, x.ResponseBody)
	}
	d.exchanges = append(d.exchanges, line)
}

func (d *diary) Bury(_ context.Context, l *DeadLetter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errors.New("diary: full")
	}
	d.dead = append(d.dead, *l)
	return nil
}

func (d *diary) set(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

func (d *diary) buried() (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.dead {
		ids = append(ids, DeliveryID(l.Partition, l.Position)+" "+string(l.Outcome))
	}
	return ids
}

func TestJournalIsToldOfEveryExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, App{}), &diary{}
		b.journal = d
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if slices.Contains(p.ids, "0-2") && p.attempt < "3" {
				return 500, 0, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1, 2)
		pass(time.Minute)
		want := []string{
			`failed 500 attempt 1: 0-1 "" 0-2 ""`, `taken 200 attempt 2: 0-1 "delivered"`, `failed 500 attempt 2: 0-2 "" again`,
			`taken 200 attempt 3: 0-2 "delivered"`,
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		slices.Sort(d.exchanges[1:3])
		slices.Sort(want[1:3])
		if !slices.Equal(d.exchanges, want) {
			t.Errorf("got %q, want %q", d.exchanges, want)
		}
	})
}

func TestGivenUpLettersAreBuriedBeforeTheThreadGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, App{MaxBatch: 1}), &diary{broken: true}
		b.journal = d
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if p.ids[0] == "0-1" {
				return 422, 0, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1, 1)
		pass(time.Minute)
		if b.sink.count() != 0 || len(b.end.all()) < 3 {
			t.Fatalf("without a place for the dead letter: %v, %d posts", b.ends(), len(b.end.all()))
		}
		d.set(false)
		pass(10 * time.Minute)
		if b.outcome(1) != OutcomeRejected || b.outcome(2) != OutcomeDelivered {
			t.Fatalf("outcomes %v", b.ends())
		}
		if l := d.dead[0]; len(d.dead) != 1 || string(l.Element) != `{"n":1}` || l.Status != 422 || l.Attempts < 3 || l.First.IsZero() {
			t.Errorf("dead letters %+v", d.dead)
		}
	})
}

func TestAllThatWaitsForADeadAppIsBuriedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, App{RetryFor: time.Hour, MaxBatch: 1}), &diary{}
		b.journal = d
		b.end.respond(status(500))
		b.send(1, 1, 2, 3, 4, 5, 6, 6, 6, 6)
		pass(62 * time.Minute)
		if ids := d.buried(); len(ids) != 9 {
			t.Fatalf("buried %v", ids)
		}
		var last []string
		for _, id := range d.buried() {
			if id >= "0-6" {
				last = append(last, id)
			}
		}
		if !slices.IsSorted(last) || len(last) != 4 {
			t.Errorf("of one thread: %v", last)
		}
	})
}
