package fanout

import (
	"slices"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// TestARecordOfANewerVersionHaltsItsDeliveries: it says which version is needed,
// the other partitions are delivered, and once given up the partition is left to
// nodes that can read it.
func TestARecordOfANewerVersionHaltsItsDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n := w.start()
	p := partitionOf(9001)
	w.got(bot, w.say(9001, "one")...)
	last, err := w.conn.LastLog(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		t.Fatal(err)
	}
	next := eventlog.Record{Partition: uint32(p), Epoch: rec.Epoch + 1, Claim: true, First: rec.Last() + 1, BatonID: rec.BatonID, Prev: rec.Hash}
	if _, err := w.conn.AppendLog(t.Context(), p, eventlogtest.Newer(&next), last.Sequence); err != nil {
		t.Fatal(err)
	}
	if why := n.halted(w, p); !strings.Contains(why, "it needs a reader of version 2, this is 1") {
		t.Errorf("halted because %s", why)
	}
	w.got(bot, append(bot.ids(), w.say(personIn((p+1)%testPartitions, 0), "elsewhere")...)...)
	for _, given := range []bool{false, true} {
		if given {
			n.Yield(p)
		}
		if got := n.Unable(); !slices.Equal(got, []int{p}) {
			t.Errorf("given up: %t; the node is unable for %v, want %d", given, got, p)
		}
	}
	n.Yield((p + 1) % testPartitions)
	if got := n.Unable(); !slices.Equal(got, []int{p}) {
		t.Errorf("unable for %v, though only %d was given up halted", got, p)
	}
}
