package fanout

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/baton-router/baton/pkg/control"
)

// refuseAll makes an endpoint refuse everything for good.
func refuseAll(posted) int { return http.StatusUnprocessableEntity }

// position is that of a delivery id of these tests, whose partitions have one
// digit.
func position(t *testing.T, id string) control.Position {
	t.Helper()
	p, ok := control.ParseID(id[2:])
	if !ok {
		t.Fatalf("id %q", id)
	}
	return control.Position(p)
}

// resend asks the holder as an operator's node does.
func (w *world) resend(app uint64, partition int, positions ...control.Position) error {
	r := Remote{Bus: w.conn, Partitions: testPartitions}
	return r.Steer(w.t.Context(), Order{Verb: "resend", App: control.AppID(app), Partition: partition, Positions: positions})
}

// graveyard is a world with an app that has refused five messages of a person.
func graveyard(t *testing.T) (w *world, bot *hook, d *diary, ids []string) {
	t.Helper()
	w = newWorld(t)
	bot, d = w.hook("s1"), &diary{}
	w.adopt(document(appEntry(faq, bot)))
	bot.respond(refuseAll)
	n := w.start(func(_ *Config, deps *Deps) { deps.Journal = d })
	for range 5 {
		ids = append(ids, w.say(personIn(1, 0), "x")...)
	}
	w.until("all are given up", func() bool { return len(d.buried()) == len(ids) })
	n.stop(t)
	bot.mu.Lock()
	bot.posts = nil
	bot.mu.Unlock()
	return w, bot, d, ids
}

func TestDeadLettersAreDeliveredAgainInOrderWithTheirIDs(t *testing.T) {
	t.Parallel()
	w, bot, d, ids := graveyard(t)
	bot.respond(nil)
	n := w.start(func(_ *Config, deps *Deps) { deps.Journal = d })
	w.until("claimed", func() bool { return len(n.Partitions()) == testPartitions })
	want := []control.Position{position(t, ids[3]), position(t, ids[0]), position(t, ids[1])}
	if err := w.resend(faq, 1, want...); err != nil {
		t.Fatal(err)
	}
	w.got(bot, ids[0], ids[1], ids[3])
	w.until("nothing is left", func() bool { st, _ := n.Status(control.AppID(faq)); return st.Undelivered == 0 })
	live := w.say(personIn(1, 0), "live")
	w.got(bot, ids[0], ids[1], ids[3], live[0])
}

// What was sent again and not delivered yet is delivered after a restart, and
// what fails once more is a dead letter once more.
func TestResentLettersSurviveARestart(t *testing.T) {
	t.Parallel()
	w, bot, d, ids := graveyard(t)
	bot.respond(func(posted) int { return http.StatusServiceUnavailable })
	n := w.start(func(_ *Config, deps *Deps) { deps.Journal = d })
	w.until("claimed", func() bool { return len(n.Partitions()) == testPartitions })
	if err := w.resend(faq, 1, position(t, ids[2]), position(t, ids[4])); err != nil {
		t.Fatal(err)
	}
	w.until("one was tried", func() bool { return len(bot.all()) > 0 })
	n.stop(t)
	bot.mu.Lock()
	bot.posts = nil
	bot.answer = func(p posted) int {
		if slices.Contains(p.ids, ids[4]) {
			return http.StatusUnprocessableEntity
		}
		return http.StatusOK
	}
	bot.mu.Unlock()
	w.start(func(_ *Config, deps *Deps) { deps.Journal = d })
	w.until("both ended", func() bool { return slices.Contains(bot.ids(), ids[2]) && len(d.buried()) == len(ids)+1 })
	if last := d.buried()[len(ids)]; last != ids[4]+" rejected" {
		t.Errorf("buried %v", d.buried())
	}
}

func TestResendOfATrimmedPayloadIsADeadLetterAgain(t *testing.T) {
	t.Parallel()
	w, bot, d, ids := graveyard(t)
	bot.respond(nil)
	_, last, _, err := w.conn.InboundRange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.conn.TrimInbound(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	n := w.start(func(_ *Config, deps *Deps) { deps.Journal = d })
	w.until("claimed", func() bool { return len(n.Partitions()) == testPartitions })
	if err := w.resend(faq, 1, position(t, ids[0])); err != nil {
		t.Fatal(err)
	}
	w.until("given up again", func() bool { return len(d.buried()) == len(ids)+1 })
	if last := d.buried()[len(ids)]; last != ids[0]+" retention" || len(bot.ids()) != 0 {
		t.Errorf("buried %v, delivered %v", d.buried(), bot.ids())
	}
}

func TestWrongResendsChangeNothing(t *testing.T) {
	t.Parallel()
	w, bot, d, ids := graveyard(t)
	n := w.start(func(c *Config, deps *Deps) { deps.Journal = d; c.Partitions = []int{0, 1} })
	w.until("claimed", func() bool { return len(n.Partitions()) == 2 })
	at := position(t, ids[0])
	for name, c := range map[string]struct {
		app       uint64
		partition int
		positions []control.Position
		want      error
	}{
		"no such app":      {99, 1, []control.Position{at}, ErrUnknownApp},
		"not held":         {faq, 3, []control.Position{at}, ErrNotHeld},
		"beyond the log":   {faq, 1, []control.Position{at, 1 << 40}, ErrBeyondLog},
		"position 0":       {faq, 1, []control.Position{0}, ErrBeyondLog},
		"nothing at all":   {faq, 1, nil, ErrOrder},
		"too many at once": {faq, 1, slices.Repeat([]control.Position{at}, maxOpenPerApp+1), ErrOrder},
	} {
		if err := w.resend(c.app, c.partition, c.positions...); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if st, _ := n.Status(control.AppID(faq)); st.Undelivered != 0 || len(bot.ids()) != 0 {
		t.Errorf("status %+v, delivered %v", st, bot.ids())
	}
}
