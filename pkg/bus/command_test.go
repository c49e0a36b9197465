package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// ask asks with a word and returns the word of the answer.
func ask(ctx context.Context, c *bus.Conn, p int, word string) (string, error) {
	answer, err := c.Ask(ctx, p, &commandv1.Request{Id: []byte(word)}, time.Hour)
	return answer.GetDetail(), err
}

// word is what ask asks with.
func word(call bus.CommandCall) string {
	request, _ := call.Request()
	return string(request.GetId())
}

func echo(call bus.CommandCall) error {
	return call.Reply(&commandv1.Response{Detail: "re: " + word(call)})
}

func TestAskReachesTheHolder(t *testing.T) {
	t.Parallel()
	server := start(t, false)
	asker, holder := dial(t, server), dial(t, server)
	ctx := brief(t)
	if _, err := ask(ctx, asker, 1, "hello"); !errors.Is(err, bus.ErrNoHolder) {
		t.Fatalf("ask without a holder: %v, wanted ErrNoHolder", err)
	}
	stop, err := holder.ServeCommands(1, func(call bus.CommandCall) {
		if err := echo(call); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := must[string](t)(ask(ctx, asker, 1, "hello")); got != "re: hello" {
		t.Errorf("answer %q", got)
	}
	stop()
	if _, err := ask(ctx, asker, 1, "hello"); !errors.Is(err, bus.ErrNoHolder) {
		t.Errorf("ask after the holder left: %v, wanted ErrNoHolder", err)
	}
}

// Whoever asks while a holder leaves is answered, or told at once that nobody
// holds the partition: nothing that was on its way is lost.
func TestHolderLeavesNobodyWithoutAnswer(t *testing.T) {
	t.Parallel()
	server := start(t, false)
	asker, holder := dial(t, server), dial(t, server)
	for range 20 {
		stop, err := holder.ServeCommands(0, func(call bus.CommandCall) { _ = echo(call) })
		if err != nil {
			t.Fatal(err)
		}
		var askers sync.WaitGroup
		first := make(chan struct{}, 16)
		for range cap(first) {
			askers.Go(func() {
				for n := 0; ; n++ {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					_, err := ask(ctx, asker, 0, "hello")
					cancel()
					if n == 0 {
						first <- struct{}{}
					}
					if errors.Is(err, bus.ErrNoHolder) {
						return
					}
					if err != nil {
						t.Errorf("ask %d while the holder leaves: %v", n, err)
						return
					}
				}
			})
		}
		for range cap(first) {
			<-first
		}
		stop()
		askers.Wait()
	}
}

func TestAskEndsWithoutAnswer(t *testing.T) {
	t.Parallel()
	c := open(t)
	calls := make(chan bus.CommandCall, 1)
	stop, err := c.ServeCommands(0, func(call bus.CommandCall) { calls <- call })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := c.Ask(t.Context(), 0, &commandv1.Request{}, 50*time.Millisecond); !errors.Is(err, bus.ErrNoAnswer) || !bus.IsRetryable(err) {
		t.Errorf("ask a silent holder: %v, wanted ErrNoAnswer", err)
	}
	if err := (<-calls).Reply(&commandv1.Response{}); err != nil {
		t.Errorf("late answer: %v", err)
	}
}

func TestNoticesReachAllListeners(t *testing.T) {
	t.Parallel()
	server := start(t, false)
	a, b := dial(t, server), dial(t, server)
	heard := make(chan string, 4)
	for _, c := range []*bus.Conn{a, b} {
		stop, err := c.Listen("roster.>", func(name string, data []byte) { heard <- name + "=" + string(data) })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	if err := a.Announce("roster.applied", []byte("7")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := <-heard; got != "roster.applied=7" {
			t.Errorf("heard %q", got)
		}
	}
	for _, name := range []string{"", ".", "a..b", "a b", "a.*", ">"} {
		if err := a.Announce(name, nil); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("announce %q: %v, wanted ErrInvalid", name, err)
		}
	}
	if _, err := a.Listen("*.x", nil); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("listen to *.x: %v, wanted ErrInvalid", err)
	}
}
