package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	crashPeople = 6
	crashReach  = 30 * time.Second // within which a point is reached under load
)

// skipShort keeps the tests that kill nodes out of the unit tests.
func skipShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("kills nodes; make crash runs it")
	}
}

// crashSlots lets four of the tests run at once: they mostly wait for the disk.
var crashSlots = make(chan struct{}, 4)

func takeSlot(t *testing.T) {
	t.Helper()
	crashSlots <- struct{}{}
	t.Cleanup(func() { <-crashSlots })
}

// TestCrashAtPoint kills a node under load at the points of the design's table
// that it passes itself, starts it again on the same data, goes on with the
// load, and checks everything that was acknowledged.
func TestCrashAtPoint(t *testing.T) {
	t.Parallel()
	skipShort(t)
	for _, c := range []struct {
		point string
		nth   int
	}{
		{"1-before-publish", 7},
		{"2-published", 7},
		{"3-acked", 7},
		{"3-answered", 7},
		{"4-input-read", 20},
		{"5-record-send", 30}, // not landed
		{"5-landed", 30},
		{"6-record-acked", 30},
		{"8-applied", 30},
		{"8-answered", 20},
		{"9-control-send", 15},
		{"9-control-acked", 15},
		{"10-accepted", 5},
		{"12-answered", 5},
		{"12-outcome-arrived", 5},
		{"13-answered", 40},
		{"13-before-save", 5 * crashPartitions}, // a save a second: not before the load has begun
		{"14-saved", 5 * crashPartitions},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			takeSlot(t)
			w := newWorld(t)
			l := newLoad(w)
			first := w.start(c.point, c.nth)
			first.awaitReady()
			l.until(func() { first.awaitDeath(crashReach) })
			w.recover(l)
		})
	}
}

// TestCrashWhileClaiming kills a node at its second start: at points 15 and 16,
// with a log, a topic and cursors of an earlier life behind it.
func TestCrashWhileClaiming(t *testing.T) {
	t.Parallel()
	skipShort(t)
	for _, point := range []string{"15-claim-send", "16-claim-acked"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			takeSlot(t)
			w := newWorld(t)
			l := newLoad(w)
			first := w.start("", 0)
			first.awaitReady()
			l.until(func() {
				within(crashReach, func() bool { return len(l.messages()) > 60 })
				first.kill()
			})
			w.start(point, 2).awaitDeath(crashReach)
			w.recover(l)
		})
	}
}

// TestCrashWhileForwarding kills a node from outside when the platform has a
// send and has not answered it: point 11.
func TestCrashWhileForwarding(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.killFrom(&w.platform.onSend, 5)
}

// TestCrashWhileDelivering kills a node from outside when an app has a delivery
// and has not answered it: point 13.
func TestCrashWhileDelivering(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.killFrom(&w.apps.onDelivery, 40)
}

// killFrom kills the node when a hook of its surroundings is called the nth
// time, and checks the next life.
func (w *world) killFrom(hook interface{ Store(f *func()) }, nth int) {
	w.t.Helper()
	l := newLoad(w)
	first := w.start("", 0)
	first.awaitReady()
	var mu sync.Mutex
	calls := 0
	kill := func() {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls == nth {
			_ = syscall.Kill(first.cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	hook.Store(&kill)
	l.until(func() { first.awaitDeath(crashReach) })
	hook.Store(nil)
	w.recover(l)
}

// until runs the load while f runs.
func (l *load) until(f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx, crashPeople)
	}()
	f()
	cancel()
	<-done
}

// recover starts the node again, compares it with a replay of its log, goes on
// with the load for a while, stops it in good order, and checks all it left.
func (w *world) recover(l *load) {
	w.t.Helper()
	next := w.start("", 0)
	next.awaitReady()
	w.replayEqual()
	l.until(func() {
		before := len(l.messages())
		if !within(crashReach, func() bool { return next.ended() || len(l.messages()) > before+30 }) || next.ended() {
			next.fatal("the node takes no work after its restart")
		}
	})
	w.finish(l, next)
}

// finish lets the node come to rest, stops it and checks all it left.
func (w *world) finish(l *load, last *life) {
	w.t.Helper()
	l.flush()
	w.settle(l)
	w.awaitQuiet()
	w.replayEqual()
	if took := last.stop(); took > 10*time.Second {
		w.t.Errorf("the node took %s to stop", took)
	}
	w.inspect(l)
	if w.t.Failed() {
		data, _ := os.ReadFile(last.log)
		w.t.Logf("the last life's log:\n%s", data[max(0, len(data)-4000):])
	}
}

// flush sends the webhooks again that have no acknowledgement yet.
func (l *load) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), crashReach)
	defer cancel()
	for _, body := range l.unsent() {
		l.webhook(ctx, body)
	}
}
