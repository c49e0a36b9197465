package fanout

import (
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
	s.put(1, nil, 10, 100) // the log is past it
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
	w.steer(Order{Verb: "pause", Partition: -1, Reason: "maintenance"})
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
	w.steer(Order{Verb: "resume", Partition: -1})
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
	w.start()
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
	w.steer(Order{Verb: "rewind", Partition: p, Position: 14})
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
	w.start()
	var ids []string
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "a")...)
	}
	w.until("all came", func() bool { return len(bot.ids()) == testPartitions })
	w.steer(Order{Verb: "rewind", Partition: -1, Position: 1})
	w.until("all came again", func() bool { return len(bot.ids()) == 2*testPartitions })
	wantOrder(t, bot, append(ids, ids...))
	w.steer(Order{Verb: "rewind", Partition: -1, Position: 1000}) // beyond the end of each
}

func TestRewindToATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	a := w.say(9001, "a")
	w.got(bot, a...)
	at := time.Now().Add(2 * time.Millisecond)
	w.until("later", func() bool { return time.Now().After(at.Add(2 * time.Millisecond)) })
	b := w.say(9001, "b")
	w.got(bot, append(a, b...)...)
	w.steer(Order{Verb: "rewind", Partition: -1, From: at})
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
	w.steer(Order{Verb: "skip", Partition: -1})
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
	past := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		order Order
		want  error
	}{
		"no app":        {Order{Verb: "rewind", App: 42, Position: 1}, ErrUnknownApp},
		"no partition":  {Order{Verb: "rewind", Partition: 99, Position: 1}, ErrOrder},
		"beyond":        {Order{Verb: "rewind", Position: 1000}, ErrBeyondLog},
		"rewind where":  {Order{Verb: "rewind", Partition: -1}, ErrOrder},
		"rewind both":   {Order{Verb: "rewind", Position: 1, From: past}, ErrOrder},
		"replay when":   {Order{Verb: "replay", Partition: -1}, ErrOrder},
		"replay no app": {Order{Verb: "replay", App: 42, From: past}, ErrUnknownApp},
		"pause no app":  {Order{Verb: "pause", App: 42, Partition: -1}, ErrUnknownApp},
		"what":          {Order{Verb: "stop", Partition: -1}, ErrOrder},
	} {
		if err := w.order(c.order); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	n.stop(t)
	if err := w.order(Order{Verb: "pause"}); !errors.Is(err, ErrNotHeld) {
		t.Errorf("without a holder: %v", err)
	}
}

// TestReplayGivesANewAppWhatItWouldHaveGot: an app that connects today gets what
// was decided since a point in time, in order and once, also over a restart.
func TestReplayGivesANewAppWhatItWouldHaveGot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot, desk := w.hook("s1"), w.hook("s2")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	early := w.say(9001, "early")
	w.got(bot, early...)
	from := time.Now()
	w.until("later", func() bool { return time.Now().After(from.Add(2 * time.Millisecond)) })
	var ids []string
	for i := range 6 {
		ids = append(ids, w.say(9001, fmt.Sprint("a", i), fmt.Sprint("b", i))...)
	}
	w.until("all came", func() bool { return len(bot.ids()) == 13 })
	w.adopt(document(appEntry(faq, bot), appEntry(agent, desk)))
	w.got(desk, w.say(9001, "new")...)
	seen := len(desk.ids())
	desk.respond(func(p posted) int { // refuses the third event until the restart
		if slices.Contains(p.ids, ids[2]) {
			return 503
		}
		return 200
	})
	w.steer(Order{Verb: "replay", App: control.AppID(agent), Partition: -1, From: from})
	p := partitionOf(9001)
	w.until("stuck and saved", func() bool {
		for _, a := range w.stored(p).GetApps() {
			if a.GetApp() == agent && len(a.GetFailing()) == 1 {
				return a.GetReplayUntil() > 0
			}
		}
		return false
	})
	n.stop(t)
	desk.respond(nil)
	w.start()
	want := append(slices.Clone(ids), desk.ids()[0]) // and what it had got already
	var got []string                                 // without repeats, which the restart may have brought
	w.until("all replayed", func() bool {
		got = nil
		for _, id := range desk.ids()[seen:] {
			if !slices.Contains(got, id) {
				got = append(got, id)
			}
		}
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if slices.Contains(desk.ids(), early[0]) {
		t.Error("an event from before the point in time came")
	}
	w.until("done and saved", func() bool {
		for _, a := range w.stored(p).GetApps() {
			if a.GetApp() == agent {
				return a.GetReplayUntil() == 0
			}
		}
		return false
	})
	if n := len(bot.ids()); n != 14 {
		t.Errorf("the other app got %d", n)
	}
}

// TestOrdersReachTheHolderOnAnotherNode: two nodes hold two partitions each; one
// order moves all, and one overview shows both.
func TestOrdersReachTheHolderOnAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.start(twoNodes, func(c *Config, _ *Deps) { c.Partitions, c.Node = []int{0, 1}, "a" })
	w.start(twoNodes, func(c *Config, _ *Deps) { c.Partitions, c.Node = []int{2, 3}, "b" })
	w.steer(Order{Verb: "pause", Partition: -1, Reason: "drill"})
	var ids []string
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "x")...)
	}
	show := func() (o Overview) {
		o, err := Remote{Bus: w.conn, Partitions: testPartitions}.Show(t.Context(), control.AppID(faq))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	w.until("all wait", func() bool { o := show(); return len(o.Apps) == 1 && o.Apps[0].Undelivered == testPartitions })
	st := show().Apps[0]
	if !st.Paused || st.PauseReason != "drill" || st.Queued != testPartitions || st.Partitions[1].Node != "a" || st.Partitions[2].Node != "b" {
		t.Errorf("%+v", st)
	}
	w.steer(Order{Verb: "resume", Partition: -1})
	w.until("all came", func() bool { return len(bot.ids()) == testPartitions })
	w.steer(Order{Verb: "rewind", Partition: 2, Position: 1})
	w.until("one came again", func() bool { return len(bot.ids()) == testPartitions+1 })
	if again := bot.ids()[testPartitions]; again != ids[2] {
		t.Errorf("%s came again, want %s", again, ids[2])
	}
}

// TestPayloadsAreNotKeptForAppsThatLag: while nobody keeps up, what comes is not
// decoded for the cache; it is fetched, and later kept again.
func TestPayloadsAreNotKeptForAppsThatLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	bot.silence(true)
	w.adopt(document(appEntry(faq, bot)))
	n := w.start(func(c *Config, _ *Deps) { c.AppLetters = 2 })
	p := partitionOf(9001)
	kept := func(p int) func(sequence uint64) bool {
		return func(sequence uint64) bool {
			n.payloads.mu.Lock()
			defer n.payloads.mu.Unlock()
			return n.payloads.shelf(p).batches[sequence] != nil
		}
	}
	// arrived is one more, and those before: a reader that begins anew misses some.
	all := map[int][]uint64{}
	arrived := func(p int) []uint64 {
		all[p] = append(all[p], w.arrive(personIn(p, 0), text(personIn(p, 0), "x"))[0].Sequence)
		return all[p]
	}
	ids := w.say(9001, "a")
	for i := range 8 {
		ids = append(ids, w.say(9001, fmt.Sprint(i))...)
	}
	w.until("nobody keeps up", func() bool {
		st, _ := n.Status(control.AppID(faq))
		return st.Unread == 7 && n.holder(p).alone.Load()
	})
	lagging := w.arrive(9001, text(9001, "lagging"))[0].Sequence
	other := (p + 1) % testPartitions // where it keeps up; the one reader takes them in order
	w.until("it was passed over", func() bool { return slices.ContainsFunc(arrived(other), kept(other)) })
	if kept(p)(lagging) {
		t.Error("a payload was kept that nobody asks for")
	}
	bot.silence(false)
	w.got(bot, ids...)
	ids = append(ids, w.say(9001, "live")...)
	w.got(bot, ids...)
	w.until("kept again", func() bool { return slices.ContainsFunc(arrived(p), kept(p)) })
}
