package fanout

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

func contextFor(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestWhatIsQueuedSharesAPost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 1, MaxBatch: 3})
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, time.Second, nil })
		b.send(1, 1)
		synctest.Wait()
		b.send(2, 2, 2, 3, 4)
		pass(10 * time.Second)
		var got []string
		for _, p := range b.end.all() {
			got = append(got, strings.Join(p.ids, ","))
		}
		if want := "[0-1 0-2,0-3,0-4 0-5]"; fmt.Sprint(got) != want {
			t.Fatalf("posts %v, want %s", got, want)
		}
	})
}

func TestAPostHoldsOneObjectAndOneChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 1})
		letters := make([]*letter, 0, 16)
		for i := range 16 {
			l := b.letter(control.Position(i+1), uint64(i%5))
			l.object, l.channel = control.Object(i/2%2), control.Channel(i%2)
			letters = append(letters, l)
		}
		b.offer(letters)
		synctest.Wait()
		events := 0
		for _, p := range b.end.all() {
			body := decodeBody(t, p.body)
			standby := len(body.Entry[0].Standby)
			for _, e := range body.Entry {
				if len(e.Standby) != standby || len(e.Standby)+len(e.Messaging) != 1 {
					t.Errorf("mixed POST: %s", p.body)
				}
			}
			events += len(body.Entry)
		}
		if events != 16 || b.sink.count() != 16 {
			t.Fatalf("%d events, %d finished", events, b.sink.count())
		}
	})
}

func TestHeadersOfADelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		seen := make(chan http.Header, 1)
		b.configure(b.settings(), headerSpy{b.end, seen})
		b.send(7, 1)
		h := <-seen
		synctest.Wait()
		body := b.end.all()[0].body
		for name, want := range map[string]string{
			"Content-Type": "application/json", "User-Agent": "Baton/test", "Baton-Delivery-Id": "0-7", "Baton-Attempt": "1",
			"X-Hub-Signature-256": webhook.Sign256([]byte("secret"), body),
			"X-Hub-Signature":     webhook.Sign1([]byte("secret"), body),
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
}

type headerSpy struct {
	*endpoint
	seen chan http.Header
}

func (s headerSpy) RoundTrip(req *http.Request) (*http.Response, error) {
	s.seen <- req.Header.Clone()
	return s.endpoint.RoundTrip(req)
}

func TestEngineTakesNoMoreThanItsBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.bounds.letters = 10
		b.setPaused(true)
		letters := make([]*letter, 30)
		for i := range letters {
			letters[i] = b.letter(control.Position(i+1), uint64(i))
		}
		if n := b.offer(letters); n != 10 {
			t.Fatalf("took %d, want 10", n)
		}
		select {
		case <-b.room:
			t.Fatal("room while full")
		default:
		}
		b.setPaused(false)
		<-b.room
		if n := b.offer(letters[10:]); n != 10 {
			t.Fatalf("then took %d, want 10", n)
		}
		synctest.Wait()
		if used := b.bounds.shared.used.Load(); used != 0 || b.sink.count() != 20 {
			t.Fatalf("%d bytes in use after %d deliveries", used, b.sink.count())
		}
	})
}

func TestSharedMemoryLeavesEveryAppItsFloor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.setPaused(true)
		b.bounds.shared.used.Store(b.bounds.shared.limit)
		b.bounds.floor = 3 * b.letter(1, 1).size()
		letters := make([]*letter, 9)
		for i := range letters {
			letters[i] = b.letter(control.Position(i+1), uint64(i))
		}
		if n := b.offer(letters); n != 3 {
			t.Fatalf("took %d beyond the shared bound, want 3", n)
		}
	})
}

func TestNoPostStartsWithoutTheRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.sink.open(false)
		b.send(1, 1, 2, 3)
		pass(time.Hour)
		if len(b.end.all()) != 0 || b.sink.renewals() == 0 {
			t.Fatalf("%d posts, %d renewals asked for", len(b.end.all()), b.sink.renewals())
		}
		b.sink.open(true)
		b.renewed()
		synctest.Wait()
		if b.sink.count() != 3 {
			t.Fatalf("%d delivered after the renewal", b.sink.count())
		}
	})
}

func TestDropCancelsAndForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 1})
		other := newSink()
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, 2 * time.Second, nil })
		l := b.letter(3, 9)
		l.from = other
		b.offer([]*letter{b.letter(1, 1), b.letter(2, 1), l})
		synctest.Wait()
		b.drop(b.sink, true)
		pass(time.Minute)
		posts := b.end.all()
		if len(posts) != 2 || fmt.Sprint(posts[1].ids) != "[0-3]" || posts[1].attempt != "1" {
			t.Fatalf("posts %+v", posts)
		}
		if b.sink.count() != 0 || other.count() != 1 || b.status().Queued != 0 {
			t.Fatalf("finished %d and %d, %d queued", b.sink.count(), other.count(), b.status().Queued)
		}
	})
}

func TestThreadKeepsItsOrderWhenDroppedWhileFlying(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{})
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, 2 * time.Second, nil })
		b.send(1, 1)
		synctest.Wait()
		b.drop(b.sink, false)
		b.send(1, 1) // rewound: the same event again
		synctest.Wait()
		if n := len(b.end.all()); n != 1 {
			t.Fatalf("%d posts of one thread in flight", n)
		}
		pass(time.Minute)
		if n := len(b.end.all()); n != 2 || b.status().Queued != 0 {
			t.Fatalf("%d posts, %d queued", n, b.status().Queued)
		}
	})
}

func TestDrainLetsPostsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{MaxInFlight: 1, MaxBatch: 1})
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, time.Second, nil })
		b.send(1, 1, 2)
		synctest.Wait()
		ctx, cancel := contextFor(10 * time.Second)
		defer cancel()
		b.drain(ctx)
		if b.sink.count() != 1 || len(b.end.all()) != 1 {
			t.Fatalf("%d finished, %d posts", b.sink.count(), len(b.end.all()))
		}
	})
}

func TestDrainCancelsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, App{Timeout: time.Hour})
		b.end.respond(func(posted) (int, time.Duration, error) { return 200, 30 * time.Minute, nil })
		b.send(1, 1)
		synctest.Wait()
		ctx, cancel := contextFor(time.Second)
		defer cancel()
		started := time.Now()
		b.drain(ctx)
		_, failed := b.sink.clock(1)
		if time.Since(started) != time.Second || b.sink.count() != 0 || failed {
			t.Fatalf("after %v: %d finished, failed %v", time.Since(started), b.sink.count(), failed)
		}
	})
}
