package bus_test

import (
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// A reader in the writer's process gets every message once and in order: what
// was written before it came, what is written while it stands still for longer
// than is kept in memory, and what comes after that.
func TestReadersFollowTheWriter(t *testing.T) {
	t.Parallel()
	_, c := sole(t)
	ctx := brief(t)
	last := [2]uint64{}
	write := func(n int, size int) {
		for i := range n {
			p := i % 2
			data := binary.BigEndian.AppendUint64(nil, last[p])
			last[p] = must[uint64](t)(c.AppendLog(ctx, p, append(data, make([]byte, size)...), last[p]))
		}
	}
	write(10, 10)
	first, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	read, enough := [2]uint64{}, errors.New("enough")
	go func() {
		stood := false
		done <- c.ReadLog(ctx, bus.ReadOptions{Partitions: []int{1}}, func(m bus.Message) error {
			if before := binary.BigEndian.Uint64(m.Data); m.Partition != 1 || before != read[1] {
				t.Errorf("partition %d: after %d comes what was written after %d", m.Partition, read[1], before)
			}
			read[1] = m.Sequence
			if !stood {
				stood = true
				close(first)
				<-goOn
			}
			if len(m.Data) == 8+77 {
				return enough
			}
			return nil
		})
	}()
	<-first
	write(100, 100<<10) // 10 MB
	close(goOn)
	write(20, 50)
	write(2, 77)
	if err := <-done; !errors.Is(err, enough) || read[1] != last[1] {
		t.Errorf("read up to %d of %d: %v", read[1], last[1], err)
	}
}

// A reader that waits for the next message ends with its context, and with the
// connection.
func TestFollowersEnd(t *testing.T) {
	t.Parallel()
	_, c := sole(t)
	must[uint64](t)(c.AppendLog(t.Context(), 0, []byte("one"), 0))
	ends := func(ctx context.Context, end func(), want error) {
		got, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- c.ReadLog(ctx, bus.ReadOptions{}, func(bus.Message) error { close(got); return nil })
		}()
		<-got
		end()
		if err := <-done; !errors.Is(err, want) {
			t.Errorf("%v, wanted %v", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ends(ctx, cancel, context.Canceled)
	ends(t.Context(), c.Close, bus.ErrClosed)
}

// The only process that can hold a partition asks its holder without the server,
// with the same answers.
func TestAskWithoutTheServer(t *testing.T) {
	t.Parallel()
	s, c := sole(t)
	ctx := brief(t)
	if _, err := ask(ctx, c, 1, "hello"); !errors.Is(err, bus.ErrNoHolder) {
		t.Fatalf("ask without a holder: %v, wanted ErrNoHolder", err)
	}
	taken := make(chan struct{})
	stop := must[func()](t)(c.ServeCommands(1, func(call bus.CommandCall) {
		if word(call) == "never answered" {
			close(taken)
			return
		}
		_ = echo(call)
	}))
	if got := must[string](t)(ask(ctx, c, 1, "hello")); got != "re: hello" {
		t.Errorf("answer %q", got)
	}
	if got := must[string](t)(ask(ctx, dial(t, s), 1, "far")); got != "re: far" {
		t.Errorf("answer over the server %q", got)
	}
	if _, err := ask(ctx, c, 1, strings.Repeat("x", bus.MaxRecord*2)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("too large: %v, wanted ErrTooLarge", err)
	}
	talkative := &commandv1.Request{Verb: &commandv1.Request_Take{Take: &commandv1.Take{Metadata: strings.Repeat("x", bus.MaxRecord*2)}}}
	if _, err := c.Ask(ctx, 1, talkative, time.Hour); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("too much metadata: %v, wanted ErrTooLarge", err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := ask(short, c, 1, "hello"); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v, wanted Canceled", err)
	}
	asked := make(chan error, 1)
	go func() {
		_, err := ask(ctx, c, 1, "never answered")
		asked <- err
	}()
	<-taken
	stop()
	if _, err := ask(ctx, c, 1, "hello"); !errors.Is(err, bus.ErrNoHolder) {
		t.Errorf("ask after the end: %v, wanted ErrNoHolder", err)
	}
	c.Close()
	if err := <-asked; !errors.Is(err, bus.ErrNoAnswer) || !errors.Is(err, bus.ErrClosed) {
		t.Errorf("the connection was closed: %v", err)
	}
}
