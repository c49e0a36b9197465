package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestKillWhileADeadLetterIsDeliveredAgain kills the node when an operator's
// resend was answered and the app has the event and has not: the next life
// delivers it, under the id that it had, and the letters of other apps stay dead.
func TestKillWhileADeadLetterIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.program = true
	w.apps.refused.Store(true)
	first := w.start("", 0)
	first.awaitReady()
	if !newLoad(w).message(t.Context(), 9001234567890123, 1) {
		t.Fatal("the webhook was not taken")
	}
	d := &desk{t: t, admin: "http://" + w.admin}
	id := regexp.MustCompile(`(?m)^\d+-\d+`).FindString(d.until(`app-1 .*rejected`, "delivery ls --app app-1"))
	d.until(`app-2 .*rejected`, "delivery ls --app app-2")

	dead := make(chan struct{})
	hang := func() { <-dead }
	w.apps.refused.Store(false)
	w.apps.onDelivery.Store(&hang)
	before := w.apps.times(crashApps()[0], id)
	d.ok("delivery resend " + id + " --app app-1")
	if !within(crashReach, func() bool { return w.apps.times(crashApps()[0], id) > before }) {
		first.fatal("the dead letter did not come again")
	}
	first.kill()
	close(dead)
	w.apps.onDelivery.Store(nil)
	before = w.apps.times(crashApps()[0], id)
	second := w.start("", 0)
	second.awaitReady()
	if !within(crashReach, func() bool { return w.apps.times(crashApps()[0], id) > before }) {
		second.fatal("the dead letter did not come again after the crash")
	}
	if out := d.ok("delivery ls --app app-2"); !strings.Contains(out, id) {
		t.Errorf("another app's letter is gone:\n%s", out)
	}
	if n := w.apps.times(crashApps()[1], id); n != 1 {
		t.Errorf("the other app got %s %d times", id, n)
	}
}

// times is how often an app got a delivery.
func (r *recorders) times(app uint64, id string) int {
	return len(slices.DeleteFunc(r.deliveries(app), func(d delivered) bool { return d.id != id }))
}
