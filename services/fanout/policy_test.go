package fanout

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// choosy refuses what says "bad" until it is told better.
func choosy(status int) func(posted) int {
	return func(p posted) int {
		if strings.Contains(string(p.body), `"text":"bad"`) {
			return status
		}
		return 200
	}
}

// policed is an app with a policy.
func policed(h *hook, policy string) roster.App {
	a := appEntry(faq, h)
	a.Delivery.OnExhausted = policy
	a.Delivery.MaxBatch = 1
	return a
}

func TestBlockedThreadStaysBlockedOverARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(choosy(422))
	w.adopt(document(policed(bot, roster.ExhaustedBlockThread)))
	n := w.start()
	p := 0
	blocked, free := personIn(p, 0), personIn(p, 1)
	head := w.say(blocked, "bad")
	behind := w.say(blocked, "behind")
	app := control.AppID(faq)
	stuck := func(n *node) bool { st, _ := n.Status(app); return st.Blocked == 1 }
	w.until("blocked", func() bool { return stuck(n) })
	w.until("the other thread went on", func() bool { return slices.Contains(bot.ids(), w.say(free, "x")[0]) || len(bot.ids()) > 3 })
	n.stop(t)
	n = w.start()
	w.until("blocked again", func() bool { return stuck(n) })
	after := w.say(free, "after")
	w.until("the other thread goes on", func() bool { return slices.Contains(bot.ids(), after[0]) })
	if slices.Contains(bot.ids(), behind[0]) {
		t.Fatal("what lies behind the blocked event came")
	}
	if w.outcomes(OutcomeRejected) != 0 {
		t.Fatal("the blocked event was given up")
	}
	bot.respond(nil)
	w.steer(Order{Verb: "resume", Partition: -1})
	w.until("both came", func() bool { return slices.Contains(bot.ids(), behind[0]) })
	ids := bot.ids()
	if slices.Index(ids, behind[0]) < lastIndex(ids, head[0]) {
		t.Errorf("out of order: %v", ids)
	}
}

func lastIndex(list []string, s string) int {
	for i, have := range slices.Backward(list) {
		if have == s {
			return i
		}
	}
	return -1
}

func TestSkippingABlockedThreadLetsItGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(choosy(422))
	w.adopt(document(policed(bot, roster.ExhaustedBlockThread)))
	n := w.start()
	w.say(9001, "bad")
	w.until("blocked", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Blocked == 1 })
	w.steer(Order{Verb: "skip", Partition: -1})
	next := w.say(9001, "next")
	w.until("the thread goes on", func() bool { return slices.Contains(bot.ids(), next[0]) })
	w.until("nothing is left", func() bool {
		st, _ := n.Status(control.AppID(faq))
		return st.Blocked == 0 && st.Undelivered == 0
	})
}

func TestPauseByPolicyHoldsOverARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(choosy(422))
	w.adopt(document(policed(bot, roster.ExhaustedPauseApp)))
	n := w.start()
	head := w.say(9001, "bad")
	paused := func() bool {
		for p := range testPartitions {
			c := w.stored(p)
			if len(c.GetApps()) != 1 || !c.GetApps()[0].GetPaused() {
				return false
			}
		}
		return true
	}
	w.until("paused in every cursor", paused)
	seen := len(bot.ids())
	n.stop(t)
	bot.respond(nil)
	n = w.start()
	more := w.say(9002, "more")
	w.until("read", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Queued == 2 })
	if st, _ := n.Status(control.AppID(faq)); !st.Paused || !strings.Contains(st.PauseReason, "rejected") || len(bot.ids()) != seen {
		t.Fatalf("%+v, %d posts", st, len(bot.ids()))
	}
	w.steer(Order{Verb: "resume", Partition: -1})
	w.until("all came", func() bool {
		return lastIndex(bot.ids(), head[0]) >= seen && slices.Contains(bot.ids(), more[0])
	})
}

func TestSkippedEventsAreNotTriedAgainAfterARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(choosy(422))
	w.adopt(document(policed(bot, roster.ExhaustedSkip)))
	d := &diary{}
	journal := func(_ *Config, deps *Deps) { deps.Journal = d }
	n := w.start(journal)
	bad := w.say(9001, "bad")
	good := w.say(9001, "good")
	w.until("the thread went on", func() bool { return slices.Contains(bot.ids(), good[0]) })
	n.stop(t)
	w.start(journal)
	last := w.say(9001, "last")
	w.until("delivered", func() bool { return slices.Contains(bot.ids(), last[0]) })
	if got := d.buried(); !slices.Equal(got, []string{bad[0] + " rejected"}) || strings.Count(strings.Join(bot.ids(), " ")+" ", bad[0]+" ") != 1 {
		t.Errorf("buried %v, posted %v", got, bot.ids())
	}
}

func TestBackoffOfAThreadSurvivesARestartBesideFreshOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.respond(choosy(503))
	w.adopt(document(policed(bot, roster.ExhaustedSkip)))
	n := w.start()
	p := 0
	bad := w.say(personIn(p, 0), "bad")
	w.until("twice", func() bool { ids := bot.ids(); return len(ids) == 2 && ids[1] == bad[0] })
	w.until("saved", func() bool {
		c := w.stored(p)
		return len(c.GetApps()) == 1 && len(c.GetApps()[0].GetFailing()) == 1 && c.GetApps()[0].GetFailing()[0].GetAttempts() == 2
	})
	clock := w.stored(p).GetApps()[0].GetFailing()[0]
	n.stop(t)
	w.start()
	fresh := w.say(personIn(p, 1), "fresh")
	w.until("the innocent one came first", func() bool { return slices.Contains(bot.ids(), fresh[0]) })
	w.until("third", func() bool { return len(bot.ids()) == 4 })
	third := bot.all()[3]
	if third.ids[0] != bad[0] || third.attempt != "3" || third.at.Before(time.UnixMilli(clock.GetNextMs())) {
		t.Errorf("attempt %s of %v at %v, not before %v", third.attempt, third.ids, third.at, time.UnixMilli(clock.GetNextMs()))
	}
}
