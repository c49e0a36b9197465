package main

import (
	"fmt"
	"testing"
	"time"
)

// TestKillWithAHeldSurvey kills a node that holds a survey, and again once it
// has gone out: it goes out when the thread is idle, and once.
func TestKillWithAHeldSurvey(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	w := newWorld(t)
	w.program = true
	first := w.start("", 0)
	first.awaitReady()
	const person = "9001234567890123"
	call := func(app uint64, edge, params string) {
		t.Helper()
		status, answer := request(t, "POST", "http://"+w.public+"/me/"+edge, crashToken(app), `{"recipient":{"id":"`+person+`"}`+params+`}`)
		if status != 200 {
			t.Fatalf("%s: %d %s", edge, status, answer)
		}
	}
	owner, creator := crashApps()[1], crashApps()[2]
	call(owner, "take_thread_control", "")
	call(creator, "messages", ","+fmt.Sprintf(survey, ""))
	first.kill()
	if sent := w.platform.forwarded()[""]; sent != 0 {
		t.Fatalf("a held survey went out %d times", sent)
	}
	second := w.start("", 0)
	second.awaitReady()
	call(owner, "release_thread_control", "")
	d := &desk{t: t, admin: "http://" + w.admin}
	shown := fmt.Sprintf("thread show %d %s", uint64(crashPage), person)
	d.until(`send \d+ of app-3 is mid\.`, shown)
	second.kill()
	third := w.start("", 0)
	third.awaitReady()
	call(owner, "take_thread_control", "")
	call(owner, "release_thread_control", "")
	d.until(`released`, shown)
	if within(time.Second, func() bool { return w.platform.forwarded()[""] > 1 }) {
		t.Error("the survey went out again")
	}
}
