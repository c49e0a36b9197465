package fanout

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestNothingIsLostInAStorm runs all at once: endpoints that fail at random,
// engines so small that every app lags and joins again and again, new apps,
// rewinds, and nodes that crash without saving. In the end every app has every
// event, and in each thread every event came first in order.
func TestNothingIsLostInAStorm(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storm(t, rand.New(rand.NewPCG(seed, 3)))
		})
	}
}

func storm(t *testing.T, rng *rand.Rand) {
	t.Helper()
	w := newWorld(t)
	hooks := []*hook{w.hook("s0"), w.hook("s1"), w.hook("s2")}
	var calls atomic.Uint64
	for i, h := range hooks {
		h.respond(func(posted) int {
			if n := calls.Add(1); i > 0 && n%60 == 0 {
				return 500
			}
			return 200
		})
	}
	w.adopt(document(appEntry(faq, hooks[0]), appEntry(agent, hooks[1]), appEntry(agent+1, hooks[2])))
	cursors := &faultyCursors{Conn: w.conn}
	small := func(c *Config, _ *Deps) { c.AppLetters = 4 + rng.IntN(12) }
	n := w.start(small, withCursors(cursors))
	var ids []string
	for round := range 150 {
		person := personIn(rng.IntN(testPartitions), rng.IntN(3))
		texts := make([]string, 1+rng.IntN(4))
		for i := range texts {
			texts[i] = fmt.Sprintf("%d.%d", round, i)
		}
		ids = append(ids, w.say(person, texts...)...)
		if rng.IntN(40) == 0 {
			if rng.IntN(2) == 0 {
				crash(cursors)
			}
			n.stop(t)
			cursors.set(nil)
			n = w.start(small, withCursors(cursors))
		}
	}
	defer func() {
		if t.Failed() {
			for _, st := range n.Apps() {
				t.Logf("%+v", st)
			}
			for _, h := range hooks {
				t.Logf("%d posts, missing %s", len(h.all()), missing(h, ids))
			}
		}
	}()
	for _, h := range hooks {
		w.until("every event", func() bool { return missing(h, ids) == "" })
		firstsInOrder(t, h)
	}
}

// missing names an id that the hook has not taken.
func missing(h *hook, ids []string) string {
	have := map[string]bool{}
	for _, id := range h.ids() {
		have[id] = true
	}
	for _, id := range ids {
		if !have[id] {
			return id
		}
	}
	return ""
}

// firstsInOrder checks that the first delivery of each event comes after those of
// all events before it in its thread.
func firstsInOrder(t *testing.T, h *hook) {
	t.Helper()
	seen := map[string]bool{}
	last := map[string]int{}
	for _, p := range h.all() {
		body := decodeBody(t, p.body)
		for i, id := range p.ids {
			e := body.Entry[i]
			element := append(e.Messaging, e.Standby...)[0]
			person, _, _ := strings.Cut(strings.TrimPrefix(string(element), `{"sender":{"id":"`), `"`)
			_, position, _ := strings.Cut(id, "-")
			n, _ := strconv.Atoi(position)
			if !seen[id] && n < last[person] {
				t.Errorf("thread %s: %s came first after position %d", person, id, last[person])
			}
			seen[id] = true
			last[person] = max(last[person], n)
		}
	}
}

// TestLateRecordsAreNotLostWhenAnAppJoins repeats what a plan for the apps that
// keep up must not do: count an app in that came up while it was made.
func TestLateRecordsAreNotLostWhenAnAppJoins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = 2 })
	var ids []string
	deadline := time.Now().Add(500 * time.Millisecond)
	w.until("some traffic", func() bool {
		for i := range 4 {
			ids = append(ids, w.say(personIn(i%2, 0), fmt.Sprint(len(ids)))...)
		}
		return time.Now().After(deadline)
	})
	w.until("every event", func() bool { return len(bot.ids()) >= len(ids) })
	if id := missing(bot, ids); id != "" {
		t.Errorf("%s is missing", id)
	}
	_ = n
}
