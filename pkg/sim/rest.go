package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/partition"
)

// rest ends the faults, lets one node finish what is left, and compares.
func (w *World) rest() {
	w.quietDown()
	last := w.nodes[0]
	for p := range w.options.Partitions {
		w.told(p, last)
	}
	w.start(last)
	last.rosters.hear()
	w.quieten(4)
	if w.broken() != "" {
		return
	}
	w.compare(last)
	// A day later what nobody has looked after has lapsed.
	w.jumpBy(49 * time.Hour)
	w.quieten(65)
	w.compare(last)
	w.lapsed()
	w.standby()
}

// quietDown ends the faults and all lives, and lets arrive what is under way.
func (w *World) quietDown() {
	w.calmDown()
	for _, n := range w.nodes {
		n.gone()
		if n.life != nil {
			n.crash(false)
		}
	}
	for len(w.servers.underWay) > 0 {
		w.arrivals()[0].do()
	}
	for len(w.unacked) > 0 {
		w.repeatWebhook()
	}
	w.calls = nil
	for _, n := range w.nodes {
		n.clock.mu.Lock()
		n.clock.wall = 0
		n.clock.mu.Unlock()
	}
}

// calmDown ends the faults.
func (w *World) calmDown() {
	w.calm = true
	w.air.calm.Store(true)
}

// settleFor lets everything go on for so many seconds.
func (w *World) settleFor(seconds int) {
	w.finish()
	time.Sleep(time.Duration(seconds) * time.Second) //nolint:forbidigo // in the bubble it moves the clock
}

func (w *World) jumpBy(d time.Duration) {
	for _, n := range w.nodes {
		n.clock.jump(d)
	}
}

// quieten lets everything go on until nothing is missing and nothing is left to
// do, in rounds of growing waits: an app that failed often is tried again after
// an hour.
func (w *World) quieten(calmRounds int) {
	calm := 0
	for range 300 {
		busy := w.finish()
		switch {
		case w.broken() != "":
			return
		case busy || w.missing() != "":
			calm = 0
		case calm == calmRounds:
			return
		default:
			calm++
		}
		wait := time.Second
		if w.delivered() != "" && calm == 0 {
			wait = 10 * time.Minute
		}
		time.Sleep(wait) //nolint:forbidigo // in the bubble it moves the clock
	}
}

// finish lets every call end well until none waits; false when none did.
func (w *World) finish() (busy bool) {
	for w.broken() == "" {
		w.scheduler.settle()
		w.takeReplies()
		w.takeSends()
		ready := w.progress()[1:]
		if len(ready) == 0 {
			return busy
		}
		busy = true
		w.scheduler.steps++
		w.scheduler.note("%s", ready[0].name)
		ready[0].do()
	}
	return busy
}

// missing names what has not come where it must; empty for nothing.
func (w *World) missing() string {
	if missing := w.delivered(); missing != "" {
		return missing
	}
	if w.open > 0 {
		return fmt.Sprintf("%d sends were never answered", w.open)
	}
	for p, part := range w.truth.parts {
		if part.damage == nil && part.onTopic != len(part.topic) {
			return fmt.Sprintf("the topic has %d of %d changes of partition %d", part.onTopic, len(part.topic), p)
		}
	}
	for _, e := range w.events {
		thread := control.ThreadKey{Asset: e.GetAsset(), Person: e.GetPerson()}
		if !w.decided(e) && w.truth.parts[w.partitionOf(thread)].damage == nil {
			return fmt.Sprintf("webhook event %x was taken and is not decided", e.GetDedupe())
		}
	}
	for id, p := range w.truth.acked {
		if _, ok := w.truth.parts[p].causes[id]; !ok {
			return fmt.Sprintf("command %x was acknowledged and is not in the log", id[:4])
		}
	}
	return ""
}

// delivered names a delivery that is missing; empty for none.
func (w *World) delivered() string {
	for to, queue := range w.truth.wanted {
		if n := w.truth.next[to]; n < len(queue) && w.truth.parts[w.partitionOf(to.thread)].damage == nil {
			return fmt.Sprintf("app %v never got %s (%d of %d)", to.app, queue[n].id, n, len(queue))
		}
	}
	return ""
}

// compare looks at the end whether everything has come where it must.
func (w *World) compare(n *node) {
	if missing := w.missing(); missing != "" {
		w.fail("%s", missing)
	}
	w.holding(n)
	w.digests(n)
}

func (w *World) decided(e *event) bool {
	for _, part := range w.truth.parts {
		if _, ok := part.inputs[[16]byte(e.GetDedupe())]; ok {
			return true
		}
	}
	return false
}

// holding looks whether a node holds everything.
func (w *World) holding(n *node) {
	for _, st := range n.life.ownership.Statuses() {
		if !st.Held || st.Halted != "" {
			w.fail("%s does not hold partition %d at rest: %+v", n.name, st.Partition, st)
		}
	}
}

// digests compares a node's store with the fold of the log.
func (w *World) digests(n *node) {
	if w.broken() != "" {
		return
	}
	for p, part := range w.truth.parts {
		stored, err := n.life.store.Partition(p)
		if err != nil {
			w.fail("%v", err)
			return
		}
		if digest, err := stored.Digest(); err != nil || digest != part.fold.Digest() {
			w.fail("the store of %s differs from the fold of partition %d's log (%v)", n.name, p, err)
		}
	}
}

// lapsed looks whether every deadline was kept and every effect was closed.
func (w *World) lapsed() {
	now := control.Millis(time.Now().Add(w.nodes[0].clock.Offset()).UnixMilli())
	for _, part := range w.truth.parts {
		for key, st := range part.states {
			if st.Owner != 0 && st.ExpiresAt != 0 && st.ExpiresAt < now-control.Minute {
				w.fail("thread %d is owned by %v, which lapsed at %d, and now is %d", key.Person, st.Owner, st.ExpiresAt, now)
			}
			if st.Rare != nil && len(st.Rare.Effects) > 0 {
				w.fail("thread %d has %d open effects", key.Person, len(st.Rare.Effects))
			}
		}
	}
}

// standby starts the other nodes on what their disks kept: they must come to the
// same state, and hold it when they are promoted.
func (w *World) standby() {
	for _, n := range w.nodes[1:] {
		w.start(n)
		n.rosters.hear()
	}
	w.quieten(4)
	if w.beating {
		w.placed()
	}
	for _, n := range w.nodes[1:] {
		w.digests(n)
		if w.beating {
			continue
		}
		for p := range w.options.Partitions {
			w.move(p, n)
		}
		w.quieten(4)
		if w.broken() != "" {
			return
		}
		w.holding(n)
		w.digests(n)
	}
}

// told is move where the simulator places the partitions.
func (w *World) told(p int, n *node) {
	if !w.beating {
		w.move(p, n)
	}
}

// placed looks whether the nodes agree on who holds what: each partition is with
// the one node that it is wanted at.
func (w *World) placed() {
	var names []string
	for _, n := range w.nodes {
		names = append(names, n.name)
	}
	want, have := make([]string, w.options.Partitions), make([]string, w.options.Partitions)
	for range 60 {
		clear(have)
		for p := range have {
			want[p] = partition.Rendezvous(p, names)
			for _, n := range w.nodes {
				if n.life.ownership.Statuses()[p].Held {
					have[p] += n.name
				}
			}
		}
		if slices.Equal(want, have) {
			return
		}
		w.quieten(1)
	}
	w.fail("the partitions are held by %v, and belong to %v", have, want)
}
