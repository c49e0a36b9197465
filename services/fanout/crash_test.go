package fanout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
)

// crash lets no save through any more: what a killed node would have saved is
// not there for the next one.
func crash(f *faultyCursors) { f.set(errDisk) }

func withCursors(f *faultyCursors) func(*Config, *Deps) {
	return func(_ *Config, d *Deps) { d.Cursors = f }
}

// stored is a partition's cursor as it is kept.
func (w *world) stored(p int) *cursorv1.Cursor {
	w.t.Helper()
	data, _, err := w.conn.LoadCursor(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &cursorv1.Cursor{}
	if err := proto.Unmarshal(data, c); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// watermark of the faq app in a partition's stored cursor.
func (w *world) watermark(p int) control.Position {
	for _, a := range w.stored(p).GetApps() {
		if a.GetApp() == faq {
			return control.Position(a.GetWatermark())
		}
	}
	return 0
}

func TestStopSavesAndNothingIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start(func(c *Config, _ *Deps) { c.SaveEvery = 2 * time.Second })
	ids := w.say(9001, "a", "b")
	w.got(bot, ids...)
	n.stop(t)
	if c := w.stored(partitionOf(9001)); !c.GetReleased() || c.GetRead().GetPosition() != 3 {
		t.Errorf("cursor %v", c)
	}
	w.start()
	w.got(bot, append(ids, w.say(9001, "c")...)...)
}

// Crash points 13 and 14: posted, but the cursor was not saved.
func TestCrashBeforeTheSaveRepeatsWithTheSameIDsAndLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	cursors := &faultyCursors{Conn: w.conn}
	n := w.start(withCursors(cursors))
	p := partitionOf(9001)
	saved := w.say(9001, "a", "b")
	w.got(bot, saved...)
	w.until("saved", func() bool { return w.watermark(p) == 3 })
	crash(cursors)
	lost := w.say(9001, "c", "d")
	w.got(bot, append(slices.Clone(saved), lost...)...)
	n.stop(t)
	w.start()
	more := w.say(9001, "e")
	w.got(bot, slices.Concat(saved, lost, lost, more)...)
}

func TestRetryClocksSurviveARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	refused := func(p posted) bool { return strings.Contains(string(p.body), `"text":"bad"`) }
	bot.respond(func(p posted) int {
		if refused(p) {
			return 500
		}
		return 200
	})
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	p := 0
	bad, good := personIn(p, 0), personIn(p, 1)
	failing := w.say(bad, "bad")
	ids := w.say(good, "a", "b")
	w.until("the others went on", func() bool { return w.outcomes(OutcomeDelivered) == 2 })
	w.until("second attempt", func() bool { return len(bot.all()) >= 3 && bot.all()[len(bot.all())-1].attempt == "2" })
	w.until("saved", func() bool {
		c := w.stored(p)
		return len(c.GetApps()) == 1 && len(c.GetApps()[0].GetFailing()) == 1 && c.GetApps()[0].GetFailing()[0].GetAttempts() == 2
	})
	n.stop(t)
	count := len(bot.all())
	started := time.Now()
	w.start()
	w.until("third attempt", func() bool { return len(bot.all()) > count })
	again := bot.all()[count]
	if again.attempt != "3" || again.ids[0] != failing[0] || len(again.ids) != 1 {
		t.Errorf("after the restart: attempt %s of %v", again.attempt, again.ids)
	}
	if time.Since(started) < time.Second {
		t.Errorf("tried again after %v: the clock was lost", time.Since(started))
	}
	var taken []string // what came together with the bad one was not
	for _, p := range bot.all() {
		if !refused(p) {
			taken = append(taken, p.ids...)
		}
	}
	if slices.Sort(taken); !slices.Equal(taken, ids) {
		t.Errorf("taken: %v, want %v, once", taken, ids)
	}
}

func twoNodes(c *Config, _ *Deps) {
	c.Sole, c.LeaseFor, c.SaveEvery, c.SaveTimeout = false, 600*time.Millisecond, 50*time.Millisecond, 300*time.Millisecond
	c.ReclaimAfter = time.Hour
}

func TestSuccessorDeposesAndWaitsForTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	old := w.start(twoNodes)
	first := w.say(9001, "a")
	w.got(bot, first...)
	// The old node hangs in a POST when it is deposed.
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	bot.respond(func(posted) int { signal(entered); <-release; return 200 })
	t.Cleanup(func() { close(release) })
	stuck := w.say(9001, "b")
	<-entered
	bot.respond(nil)
	claimed := time.Now()
	w.start(twoNodes)
	w.until("deposed everywhere", func() bool { return w.count(&w.deposed) == testPartitions })
	w.until("the successor delivers", func() bool { return slices.Contains(bot.ids(), stuck[0]) })
	if waited := bot.all()[len(bot.all())-1].at.Sub(claimed); waited < 600*time.Millisecond {
		t.Errorf("the successor began after %v, within the predecessor's lease", waited)
	}
	if st, _ := old.Status(control.AppID(faq)); st.InFlight != 0 || st.Queued != 0 || len(old.Partitions()) != 0 {
		t.Errorf("the deposed node still has %+v", st)
	}
	more := w.say(9001, "c")
	w.until("only the successor goes on", func() bool { return slices.Contains(bot.ids(), more[0]) })
	if n := strings.Count(fmt.Sprint(bot.ids()), more[0]); n != 1 {
		t.Errorf("%s came %d times", more[0], n)
	}
}

func TestSuccessorOfAReleasedCursorNeedNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	slow := func(c *Config, d *Deps) { twoNodes(c, d); c.LeaseFor = time.Hour }
	n := w.start(slow)
	ids := w.say(9001, "a")
	w.got(bot, ids...)
	n.stop(t)
	w.start(slow)
	w.got(bot, append(ids, w.say(9001, "b")...)...)
}

func TestWithoutSavesNoPostStartsBeyondTheLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	cursors := &faultyCursors{Conn: w.conn}
	w.start(twoNodes, withCursors(cursors))
	ids := w.say(9001, "a")
	w.got(bot, ids...)
	crash(cursors)
	failed := time.Now()
	h := 0
	w.until("the right runs out", func() bool {
		h++
		id := w.say(9001, fmt.Sprint(h))
		ids = append(ids, id...)
		return time.Since(failed) > time.Second
	})
	for _, p := range bot.all() {
		if late := p.at.Sub(failed); late > 700*time.Millisecond {
			t.Errorf("a POST started %v after the last save", late)
		}
	}
	cursors.set(nil)
	w.got(bot, ids...)
}

func TestLostAnswerOfASaveIsNoDeposition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	lossy := &lossyCursors{faultyCursors: faultyCursors{Conn: w.conn}}
	w.start(func(_ *Config, d *Deps) { d.Cursors = lossy })
	ids := w.say(9001, "a")
	w.got(bot, ids...)
	p := partitionOf(9001)
	w.until("saved", func() bool { return w.watermark(p) == 2 })
	lossy.lose.Store(true)
	ids = append(ids, w.say(9001, "b")...)
	w.until("saved, unknown to the node", func() bool { return w.watermark(p) == 3 })
	lossy.lose.Store(false)
	ids = append(ids, w.say(9001, "c")...)
	w.until("saved", func() bool { return w.watermark(p) == 4 })
	w.got(bot, ids...)
	if w.count(&w.deposed) != 0 {
		t.Error("deposed by itself")
	}
}

func TestCursorOfAnotherInstallationHaltsThePartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	foreign, err := proto.Marshal(&cursorv1.Cursor{Epoch: 5, BatonId: make([]byte, 16)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.SaveCursor(t.Context(), 0, foreign, 0); err != nil {
		t.Fatal(err)
	}
	n := w.start()
	w.until("halted", func() bool { return w.count(&w.halted) == 1 })
	w.got(bot, w.say(personIn(1, 0), "a")...)
	if st := n.Partitions(); len(st) != testPartitions || !errors.Is(st[0].Halted, ErrCursor) {
		t.Errorf("partitions %+v", st)
	}
	if c := w.stored(0); c.GetEpoch() != 5 {
		t.Errorf("the foreign cursor was changed: %v", c)
	}
}

func TestCursorThatDoesNotFitTheLogHaltsThePartition(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]*cursorv1.Mark{
		"ahead of the log": {Position: 100, Sequence: 10_000, LogEpoch: 1, RosterVersion: 1},
		"another record":   {Position: 7, Sequence: 1, LogEpoch: 1, RosterVersion: 1},
		"another epoch":    {Position: 1, Sequence: 1, LogEpoch: 4, RosterVersion: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.adopt(document(appEntry(faq, w.hook("s1"))))
			data, err := proto.Marshal(&cursorv1.Cursor{Epoch: 1, BatonId: w.id.BatonID[:], Read: read})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.conn.SaveCursor(t.Context(), 0, data, 0); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.until("halted", func() bool { return w.count(&w.halted) == 1 })
		})
	}
}
