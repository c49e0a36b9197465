package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// wantOrder checks that the ids of each partition that a hook received are these,
// in order: each thread of the test has its own partition.
func wantOrder(t *testing.T, h *hook, want []string) {
	t.Helper()
	for p := range testPartitions {
		of := func(ids []string) []string {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, strconv.Itoa(p)+"-") })
		}
		if got := of(h.ids()); !slices.Equal(got, of(want)) {
			t.Errorf("partition %d: got %d deliveries %v, want %d", p, len(got), got, len(of(want)))
		}
	}
}

func TestDeadAppCostsNothingAndCatchesUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.silence(true)
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = 16 })
	var ids []string
	for i := range 60 {
		for p := range testPartitions {
			ids = append(ids, w.say(personIn(p, 0), fmt.Sprintf("%d-a", i), fmt.Sprintf("%d-b", i))...)
		}
	}
	w.until("the other app has all", func() bool { return len(desk.ids()) == len(ids) })
	wantOrder(t, desk, ids)
	st, _ := n.Status(control.AppID(faq))
	if st.Queued > 16 || st.Unread == 0 || st.Undelivered > 16 || len(bot.ids()) != 0 {
		t.Fatalf("status %+v", st)
	}
	bot.silence(false)
	w.until("it caught up", func() bool { return len(bot.ids()) >= len(ids) })
	wantOrder(t, bot, ids)
	w.until("joined", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Unread == 0 && st.Undelivered == 0 })
	more := w.say(personIn(0, 0), "live")
	w.until("and keeps up", func() bool { return slices.Contains(bot.ids(), more[0]) })
}

func TestLaggingAppSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.silence(true)
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	small := func(c *Config, _ *Deps) { c.AppLetters = 4 }
	n := w.start(small)
	var ids []string
	for i := range 20 {
		ids = append(ids, w.say(personIn(i%testPartitions, 0), fmt.Sprint(i))...)
	}
	w.until("the other app has all", func() bool { return len(desk.ids()) == len(ids) })
	n.stop(t)
	bot.silence(false)
	w.start(small)
	w.until("all came", func() bool { return len(bot.ids()) >= len(ids) })
	wantOrder(t, bot, ids)
	wantOrder(t, desk, ids)
}

func TestPayloadsComeFromTheCacheWhileAppsKeepUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	w.got(bot, w.say(9001, "warm")...)
	fetched := w.count(&w.fetched)
	p := partitionOf(9001)
	for i := range 20 {
		refs := w.arrive(9001, text(9001, fmt.Sprint(i)))
		w.until("cached", func() bool {
			n.payloads.mu.Lock()
			defer n.payloads.mu.Unlock()
			return n.payloads.shelf(p).batches[refs[0].Sequence] != nil
		})
	}
	if w.count(&w.fetched) != fetched {
		t.Errorf("%d payloads were fetched", w.count(&w.fetched)-fetched)
	}
}

func TestShelfIsBoundedAndKeepsWhatTheLogStillNeeds(t *testing.T) {
	t.Parallel()
	s := &shelf{batches: map[uint64][]payload{}}
	for seq := range uint64(10) {
		s.put(seq+1, nil, 30, 100)
	}
	if len(s.batches) != 3 || s.bytes != 90 {
		t.Fatalf("%d batches, %d bytes", len(s.batches), s.bytes)
	}
	s.passed = 2
	s.put(11, nil, 30, 100)
	s.put(12, nil, 60, 100)
	if _, kept := s.batches[3]; !kept || len(s.batches) != 2 || s.bytes != 60 {
		t.Fatalf("batches %v, %d bytes", s.batches, s.bytes)
	}
	s.put(1, nil, 40, 100) // fetched again: the first to go
	s.put(13, nil, 40, 100)
	if _, kept := s.batches[1]; kept || s.bytes != 100 {
		t.Fatalf("batches %v, %d bytes", s.batches, s.bytes)
	}
}

func TestPauseSurvivesARestartAndResumeDelivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	ids := w.say(9001, "a")
	w.got(bot, ids...)
	if err := n.Pause(t.Context(), control.AppID(faq), "maintenance"); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, w.say(9001, "b")...)
	w.until("read", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Undelivered == 1 })
	n.stop(t)
	n = w.start()
	w.until("paused again", func() bool {
		st, _ := n.Status(control.AppID(faq))
		state, reason := st.State()
		return state == "paused" && reason == "maintenance" && st.Verified && st.Undelivered == 1
	})
	if len(bot.ids()) != 1 {
		t.Fatal("delivered while paused")
	}
	if err := n.Resume(t.Context(), control.AppID(faq)); err != nil {
		t.Fatal(err)
	}
	w.got(bot, ids...)
}

func TestGoneIsPausedDurably(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(func(posted) int { return 410 })
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	w.say(9001, "a")
	w.until("saved as paused", func() bool {
		for p := range testPartitions {
			apps := w.stored(p).GetApps()
			if len(apps) != 1 || !apps[0].GetPaused() || !strings.Contains(apps[0].GetPauseReason(), "410") {
				return false
			}
		}
		return true
	})
}

func TestRewindDeliversAgainWithTheSameIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	n := w.start()
	var ids []string
	p := partitionOf(9001)
	for i := range 12 {
		ids = append(ids, w.say(9001, fmt.Sprint(i), fmt.Sprint(i, "b"))...)
		w.say(personIn((p+1)%testPartitions, 0), "other") // other records in between
	}
	mine := func() []string {
		return slices.DeleteFunc(bot.ids(), func(id string) bool { return !strings.HasPrefix(id, fmt.Sprint(p, "-")) })
	}
	w.until("all came", func() bool { return len(mine()) == 24 })
	// Position 1 is the roster; 14 is the second event of a record.
	if err := n.Rewind(t.Context(), control.AppID(faq), p, 14); err != nil {
		t.Fatal(err)
	}
	w.until("again", func() bool { return len(mine()) >= 36 })
	if got, want := mine()[24:], ids[12:]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	more := w.say(9001, "after")
	w.until("then what is new", func() bool { return slices.Contains(mine(), more[0]) })
	w.until("the other app has all, once", func() bool { return len(desk.ids()) == 24+12+1 })
	if got := mine(); len(got) != 37 {
		t.Errorf("%d deliveries to the app", len(got))
	}
}

func TestRewindOfAllPartitionsToTheBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	var ids []string
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "a")...)
	}
	w.until("all came", func() bool { return len(bot.ids()) == testPartitions })
	if err := n.Rewind(t.Context(), control.AppID(faq), -1, 0); err != nil {
		t.Fatal(err)
	}
	w.until("all came again", func() bool { return len(bot.ids()) == 2*testPartitions })
	wantOrder(t, bot, append(ids, ids...))
	if err := n.Rewind(t.Context(), control.AppID(faq), -1, 1000); err != nil {
		t.Errorf("beyond the end of each: %v", err)
	}
}

func TestRewindToATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	a := w.say(9001, "a")
	w.got(bot, a...)
	at := time.Now().Add(2 * time.Millisecond)
	w.until("later", func() bool { return time.Now().After(at.Add(2 * time.Millisecond)) })
	b := w.say(9001, "b")
	w.got(bot, append(a, b...)...)
	if err := n.RewindTime(t.Context(), control.AppID(faq), -1, at); err != nil {
		t.Fatal(err)
	}
	w.got(bot, slices.Concat(a, b, b)...)
}

func TestSkipForgetsWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	bot.silence(true)
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = 2 })
	w.got(desk, w.say(9001, "a", "b", "c", "d", "e")...)
	w.until("read", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Queued == 2 && st.Unread == 3 })
	if err := n.Skip(t.Context(), control.AppID(faq), -1); err != nil {
		t.Fatal(err)
	}
	st, _ := n.Status(control.AppID(faq))
	if st.Queued != 0 || st.Unread != 0 || st.Undelivered != 0 {
		t.Errorf("status %+v", st)
	}
	bot.silence(false)
	w.got(bot, w.say(9001, "f")...)
}

func TestSteeringRefusesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.adopt(document(appEntry(faq, w.hook("s1"))))
	n := w.start()
	w.until("held", func() bool { return len(n.Partitions()) == testPartitions })
	ctx, app := context.Background(), control.AppID(faq)
	for name, err := range map[string]error{
		"no app":       n.Rewind(ctx, 42, 0, 1),
		"no partition": n.Rewind(ctx, app, 99, 1),
		"beyond":       n.Rewind(ctx, app, 0, 1000),
		"pause no app": n.Pause(ctx, 42, ""),
	} {
		want := map[string]error{"no app": ErrUnknownApp, "no partition": ErrNotHeld, "beyond": ErrBeyondLog, "pause no app": ErrUnknownApp}[name]
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}
