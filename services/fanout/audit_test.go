package fanout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded/embeddedtest"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// among is a world of which this role is one of several nodes' and has delivered
// two events, the second of which the log loses while the role goes on. back puts
// the world where the log ends then.
func among(t *testing.T) (w *world, n *node, bot *hook, s *embeddedtest.Server, p int, back head) {
	t.Helper()
	s = embeddedtest.Start(t)
	w = worldOn(t, s.Dial())
	bot = w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	n = w.start(func(c *Config, _ *Deps) { c.Sole = false })
	p = partitionOf(9001)
	ids := w.say(9001, "one")
	w.got(bot, ids...)
	back = w.heads[p]
	s.Keep(bus.StreamLog)
	w.got(bot, append(ids, w.say(9001, "two")...)...)
	return w, n, bot, s, p, back
}

// TestALogThatLosesItsTailHaltsDeliveries: nothing comes any more, and the reader
// waits behind an end that is gone.
func TestALogThatLosesItsTailHaltsDeliveries(t *testing.T) {
	t.Parallel()
	w, n, _, s, p, _ := among(t)
	s.Lose(bus.StreamLog)
	if why := n.halted(w, p); !strings.Contains(why, "the log ends at") {
		t.Errorf("halted because %s", why)
	}
	for _, st := range n.Partitions() {
		if st.Partition != p && st.Halted != nil {
			t.Errorf("partition %d is halted too: %v", st.Partition, st.Halted)
		}
	}
}

// TestALogThatWentOnHaltsDeliveries: as much was written again, and more. The
// records that took the numbers of those that are lost were never read.
func TestALogThatWentOnHaltsDeliveries(t *testing.T) {
	t.Parallel()
	w, n, _, s, p, back := among(t)
	s.Lose(bus.StreamLog)
	w.heads[p] = back
	w.say(9001, "another two")
	w.say(9001, "three")
	if why := n.halted(w, p); !strings.Contains(why, "another record") && !strings.Contains(why, "another one") && !strings.Contains(why, "the log ends at") {
		t.Errorf("halted because %s", why)
	}
}

// TestAPartitionThatHasLostNothingIsDelivered: its records take numbers behind which
// the reader waits.
func TestAPartitionThatHasLostNothingIsDelivered(t *testing.T) {
	t.Parallel()
	w, n, bot, s, p, _ := among(t)
	person := uint64(9002)
	for partitionOf(person) == p {
		person++
	}
	s.Lose(bus.StreamLog)
	var ids []string
	for range 3 {
		ids = append(ids, w.say(person, "still here")...)
	}
	w.until("what was passed over is delivered", func() bool { return len(bot.ids()) == 2+len(ids) })
	if diff := cmp.Diff(ids, bot.ids()[2:]); diff != "" {
		t.Error(diff)
	}
	n.halted(w, p)
	for _, st := range n.Partitions() {
		if st.Partition != p && st.Halted != nil {
			t.Errorf("partition %d is halted too: %v", st.Partition, st.Halted)
		}
	}
}

// TestARecordThatFollowsAnotherHalts: the numbers fit, the hashes do not.
func TestARecordThatFollowsAnotherHalts(t *testing.T) {
	t.Parallel()
	w, bot, p := delivered(t)
	n := w.start()
	w.heads[p].hash[0]++
	w.say(9001, "of another history")
	if why := n.halted(w, p); !strings.Contains(why, "follows another one") {
		t.Errorf("halted because %s", why)
	}
	if got := len(bot.ids()); got != 3 {
		t.Errorf("%d deliveries, 3 were before", got)
	}
}

// TestAnotherPersonsMessageIsNotSent: the input has another event where the log
// decided on one. The letter is given up, what follows is delivered.
func TestAnotherPersonsMessageIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	w.start()
	ref := w.arrive(9001, text(9001, "for somebody else"))[0]
	routed := control.Routed{Input: ref, Kind: control.KindMessage, Audience: control.ToOwner, Owner: control.AppID(faq)}
	other, missing := routed, routed
	other.Dedupe[3] = 1
	missing.Input.Index = 7
	w.decide(partitionOf(9001), w.version(), eventlog.Entry{Thread: thread(9001), Event: other}, eventlog.Entry{Thread: thread(9001), Event: missing})
	w.got(bot, w.say(9001, "what follows")...)
	w.until("two letters are given up", func() bool { return w.outcomes(OutcomeOtherPayload) == 2 })
}

// TestAPayloadThatIsHeldGivesWay: what was read before the input lost its end is
// read again when it is not what the log decided on.
func TestAPayloadThatIsHeldGivesWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.arrive(9001, text(9001, "now"))[0]
	p := partitionOf(9001)
	c := newPayloads(w.conn, 1<<20, &Observers{})
	old := []payload{{raw: []byte("before"), dedupe: [16]byte{9}}}
	c.shelf(p).put(ref.Sequence, old, 100, 1<<20)
	got, err := c.get(t.Context(), p, &message{}, ref, [16]byte{})
	if err != nil || string(got.raw) == "before" {
		t.Fatalf("%v %v", got, err)
	}
	if again, err := c.get(t.Context(), p, &message{}, ref, [16]byte{}); err != nil || again != got {
		t.Errorf("it is not held then: %v", err)
	}
}
