package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
	"github.com/baton-router/baton/pkg/repair"
)

// alter changes the stored cursor of a partition.
func (w *world) alter(p int, change func(*cursorv1.Cursor)) {
	w.t.Helper()
	data, sequence, err := w.conn.LoadCursor(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := decodeCursor(data, w.id.BatonID)
	if err != nil {
		w.t.Fatal(err)
	}
	change(c)
	if _, err := w.conn.SaveCursor(w.t.Context(), p, encodeCursor(c, nil), sequence); err != nil {
		w.t.Fatal(err)
	}
}

// halted waits until partition p is halted and says why.
func (n *node) halted(w *world, p int) string {
	w.t.Helper()
	var why error
	w.until("halted", func() bool {
		i := slices.IndexFunc(n.Partitions(), func(st PartitionStatus) bool { return st.Partition == p && st.Halted != nil })
		if i >= 0 {
			why = n.Partitions()[i].Halted
		}
		return i >= 0
	})
	return why.Error()
}

// delivered is a world of which a partition has delivered a few events and whose
// node has stopped; its halt is told of by the observers.
func delivered(t *testing.T) (w *world, bot *hook, p int) {
	t.Helper()
	w = newWorld(t)
	bot = w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	w.got(bot, append(w.say(9001, "one"), w.say(9001, "two", "three")...)...)
	n.stop(t)
	return w, bot, partitionOf(9001)
}

func begun(told *[]Moved) func(Moved) error {
	return func(m Moved) error { *told = append(*told, m); return nil }
}

// TestACursorAheadOfItsLogHaltsAndIsPutBack: only when that is accepted, at the
// position at which the log ends; then what comes is delivered, others were never
// concerned.
func TestACursorAheadOfItsLogHaltsAndIsPutBack(t *testing.T) {
	t.Parallel()
	w, bot, p := delivered(t)
	w.alter(p, func(c *cursorv1.Cursor) {
		c.Read.Position, c.Read.Sequence = c.GetRead().GetPosition()+40, c.GetRead().GetSequence()+40
		for _, a := range c.GetApps() {
			a.Mark, a.Watermark, a.Read = c.GetRead(), c.GetRead().GetPosition()-5, c.GetRead().GetPosition()
			a.Undelivered = []uint64{2}
		}
	})
	n := w.start()
	if why := n.halted(w, p); !strings.Contains(why, "the log ends at") {
		t.Errorf("halted because %s", why)
	}
	other := (p + 1) % testPartitions
	w.got(bot, append(bot.ids(), w.say(personIn(other, 0), "elsewhere")...)...)
	var told []Moved
	_, err := n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told)})
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would || loss.Position != 4 || len(told) != 0 {
		t.Fatalf("%v %v", err, told)
	}
	if _, err := n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told), Accept: true, At: 3}); !errors.Is(err, repair.ErrWrongPosition) {
		t.Errorf("another position: %v", err)
	}
	if _, err := n.Repair(t.Context(), p, RepairOptions{DryRun: true, Accept: true, At: 4}); err != nil || n.halted(w, p) == "" {
		t.Errorf("dry run: %v", err)
	}
	moved, err := n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told), Accept: true, At: 4})
	if err != nil || moved.From != 44 || moved.To != 4 || !cmp.Equal(told, []Moved{moved}) {
		t.Fatalf("%v %+v %+v", err, moved, told)
	}
	w.got(bot, append(bot.ids(), w.say(9001, "four")...)...)
	if _, err := n.Repair(t.Context(), p, RepairOptions{}); !errors.Is(err, repair.ErrNotHalted) {
		t.Errorf("once more: %v", err)
	}
}

// TestACursorFindsItsRecordAtAnotherSequence: the log's tail was written again.
func TestACursorFindsItsRecordAtAnotherSequence(t *testing.T) {
	t.Parallel()
	w, bot, p := delivered(t)
	w.alter(p, func(c *cursorv1.Cursor) { c.Read.Sequence += 40 })
	n := w.start()
	n.halted(w, p)
	var told []Moved
	if moved, err := n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told)}); err != nil || moved.From != moved.To {
		t.Fatalf("%+v %v", moved, err)
	}
	w.got(bot, append(bot.ids(), w.say(9001, "four")...)...)
}

// TestACursorThatCannotBeReadBeginsAnew at the end, when that is accepted.
func TestACursorThatCannotBeReadBeginsAnew(t *testing.T) {
	t.Parallel()
	w, bot, p := delivered(t)
	_, sequence, err := w.conn.LoadCursor(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.conn.SaveCursor(t.Context(), p, []byte{0xff}, sequence); err != nil {
		t.Fatal(err)
	}
	n := w.start()
	n.halted(w, p)
	var told []Moved
	_, err = n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told)})
	if _, would := errors.AsType[*repair.WouldLoseError](err); !would {
		t.Fatal(err)
	}
	if _, err := n.Repair(t.Context(), p, RepairOptions{Begin: begun(&told), Accept: true, At: 4}); err != nil {
		t.Fatal(err)
	}
	w.got(bot, append(bot.ids(), w.say(9001, "four")...)...)
}

// TestAPlaceOfAnotherForkIsPutBackToWhereTheForkBegan.
func TestAPlaceOfAnotherForkIsPutBackToWhereTheForkBegan(t *testing.T) {
	t.Parallel()
	log := wholeLog{{}, {position: 0, sequence: 1, epoch: 1}, {position: 4, sequence: 2, epoch: 1}, {position: 4, sequence: 3, epoch: 3}, {position: 9, sequence: 4, epoch: 3}}
	c := &cursorv1.Cursor{Read: &cursorv1.Mark{Position: 8, Sequence: 7, LogEpoch: 2}, Apps: []*cursorv1.App{{
		App: 1, Mark: &cursorv1.Mark{Position: 4, Sequence: 2, LogEpoch: 1}, Watermark: 3, Read: 8, Undelivered: []uint64{1, 2},
		Failing: []*cursorv1.Failure{{Position: 4}, {Position: 6}}, Resent: []uint64{2, 7}, ReplayUntil: 8,
	}}}
	log.rebase(c)
	a := c.GetApps()[0]
	got := fmt.Sprint(c.GetRead().GetPosition(), c.GetRead().GetSequence(), a.GetWatermark(), a.GetRead(), a.GetUndelivered(), len(a.GetFailing()), a.GetResent(), a.GetReplayUntil())
	if want := fmt.Sprint(4, 2, 3, 4, []uint64{1}, 1, []uint64{2}, 4); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// lagging answers reads of the log as a leader that was deposed would.
type lagging struct {
	Log
	asks atomic.Int32
}

func (l *lagging) NextLog(ctx context.Context, p int, after uint64) (bus.Message, error) {
	if l.asks.Add(1) <= 3 {
		return bus.Message{}, bus.ErrNoMessage
	}
	return l.Log.NextLog(ctx, p, after)
}

func (l *lagging) LastLog(ctx context.Context, p int) (bus.Message, error) {
	m, err := l.Log.LastLog(ctx, p)
	m.Sequence--
	return m, err
}

// TestAStaleReadOfTheLogHaltsNoDeliveries.
func TestAStaleReadOfTheLogHaltsNoDeliveries(t *testing.T) {
	t.Parallel()
	w, bot, p := delivered(t)
	log := &lagging{Log: w.conn}
	w.start(func(c *Config, d *Deps) { c.Partitions, d.Log = []int{p}, log })
	w.got(bot, append(bot.ids(), w.say(9001, "four")...)...)
	if log.asks.Load() <= 3 || w.count(&w.halted) != 0 {
		t.Errorf("%d reads, halted %d times", log.asks.Load(), w.count(&w.halted))
	}
}
