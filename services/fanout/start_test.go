package fanout

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// posts are the ids of each POST so far, with when it began.
func (b *bench) posts(since time.Time) string {
	var list []string
	for _, p := range b.end.all() {
		list = append(list, fmt.Sprint(p.at.Sub(since), " ", strings.Join(p.ids, ",")))
	}
	return strings.Join(list, "; ")
}

// TestPostsBeginTogetherUnlessFull has events come while a POST is under way: they
// go together when it ends, when it takes long, or when they fill one.
func TestPostsBeginTogetherUnlessFull(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes time.Duration
		batch int
		want  string
	}{
		"it ends":         {time.Millisecond, 20, "0s 0-1; 1ms 0-2,0-3,0-4"},
		"it takes long":   {time.Second, 20, "0s 0-1; 2ms 0-2,0-3,0-4"},
		"they fill one":   {time.Second, 3, "0s 0-1; 300µs 0-2,0-3,0-4"},
		"each goes alone": {time.Second, 1, "0s 0-1; 100µs 0-2; 200µs 0-3; 300µs 0-4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, App{MaxBatch: c.batch, MaxInFlight: 4})
				b.end.respond(func(posted) (int, time.Duration, error) { return 200, c.takes, nil })
				begun := time.Now()
				for n := range uint64(4) {
					b.send(control.Position(n+1), n+1)
					pass(100 * time.Microsecond)
				}
				pass(5 * time.Second)
				if got := b.posts(begun); got != c.want {
					t.Errorf("posts %s, want %s", got, c.want)
				}
			})
		})
	}
}

// TestARetryKeepsNobodyWaiting: only a first attempt under way is company.
func TestARetryKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 4})
		b.end.respond(func(p posted) (int, time.Duration, error) {
			if p.ids[0] == "0-1" {
				return 500, time.Duration(len(b.end.all())-1) * time.Minute, nil
			}
			return 200, 0, nil
		})
		b.send(1, 1)
		pass(2 * time.Second) // its retry is under way
		begun := time.Now()
		b.send(2, 2)
		synctest.Wait()
		b.send(3, 3)
		synctest.Wait()
		if got := b.posts(begun); !strings.HasSuffix(got, "; 0s 0-2; 0s 0-3") {
			t.Errorf("posts %s, want the others' at once", got)
		}
	})
}

// TestResumeOpensWhatWaits: what is parked goes at once, whatever else waits.
func TestResumeOpensWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.end.respond(status(500))
		b.send(1, 1)
		synctest.Wait()
		b.end.respond(nil)
		b.setPaused(true)
		b.send(2, 2, 3)
		b.setPaused(false)
		synctest.Wait()
		if b.sink.count() != 3 {
			t.Errorf("ended: %s", b.ends())
		}
	})
}

// TestWhatComesBeforeAPostBeginsGoesWithIt: an engine chooses what it posts when
// the POST's goroutine runs, not when the first of it came.
func TestWhatComesBeforeAPostBeginsGoesWithIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		begun := time.Now()
		b.engine.mu.Lock()
		for n := range uint64(3) {
			b.enqueue(b.letter(control.Position(n+1), n+1))
			b.pump()
		}
		b.engine.mu.Unlock()
		synctest.Wait()
		if got := b.posts(begun); got != "0s 0-1,0-2,0-3" {
			t.Errorf("posts %s, want one of all three", got)
		}
	})
}
