package sim

import (
	"slices"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
)

// loss is what the log has lost of a partition: acknowledged records that were
// not on the disk when the power went, because the disk or the configuration had
// lied. What was promised by them is broken and no longer looked after. What
// must hold: who has applied one of them never decides again, and says why.
type loss struct {
	records map[[32]byte]bool // by hash
}

// loseTail is the machine with the servers and all nodes losing power, and the
// log the end of what it had acknowledged.
func (w *World) loseTail() {
	for _, n := range w.nodes {
		if n.life != nil {
			w.counts.Crashes++
			n.crash(w.scheduler.chance(50))
		}
	}
	w.servers.underWay = nil
	log := &w.servers.log
	n := min(1+w.scheduler.rng.IntN(30), len(log.messages))
	for _, m := range log.messages[len(log.messages)-n:] {
		w.truth.lost(m)
	}
	log.messages = slices.Clip(log.messages[:len(log.messages)-n])
	w.truth.rewind(log.messages)
	w.lossy = true
	w.counts.Lost += n
}

// lost takes a record out that the log has lost.
func (t *truth) lost(m bus.Message) {
	rec, err := eventlog.Decode(m.Data)
	if err != nil {
		t.w.fail("a lost record: %v", err)
		return
	}
	part := t.parts[m.Partition]
	if part.loss == nil {
		part.loss = &loss{map[[32]byte]bool{}}
	}
	part.loss.records[rec.Hash] = true
}

// rewind folds what is left of the partitions that have lost something.
func (t *truth) rewind(messages []bus.Message) {
	for p, part := range t.parts {
		if part.loss == nil {
			continue
		}
		part.fold = eventlog.Partition{}
		for _, m := range messages {
			if m.Partition != p {
				continue
			}
			rec, err := eventlog.Decode(m.Data)
			if err == nil {
				err = part.fold.Apply(&rec)
			}
			if err != nil {
				t.w.fail("what is left of partition %d: %v", p, err)
			}
		}
	}
}

// restWithLoss starts everybody after a loss and looks whether those who know
// what the log has lost have halted, and the others are one.
func (w *World) restWithLoss() {
	w.quietDown()
	if !w.beating {
		for p := range w.options.Partitions {
			w.move(p, w.nodes[0])
		}
	}
	for _, n := range w.nodes {
		w.start(n)
		n.rosters.hear()
	}
	for range 20 {
		w.settleFor(5)
	}
	for _, n := range w.nodes {
		for p, part := range w.truth.parts {
			w.notOnLost(n, p, part)
		}
	}
}

func (w *World) notOnLost(n *node, p int, part *partTruth) {
	stored, err := n.life.store.Partition(p)
	if err != nil {
		w.fail("%v", err)
		return
	}
	st, applied := n.life.ownership.Statuses()[p], stored.Applied()
	knows := part.loss != nil && part.loss.records[applied.Hash]
	switch {
	case knows && st.Halted == "":
		w.fail("%s has applied a record of partition %d that the log has lost, and has not halted: %+v", n.name, p, st)
	case !knows && st.Halted != "" && part.loss == nil:
		w.fail("%s has halted partition %d, which has lost nothing: %s", n.name, p, st.Halted)
	case !knows && st.Halted == "" && (st.Held || w.options.Nodes > 1):
		if digest, err := stored.Digest(); err != nil || digest != part.fold.Digest() {
			w.fail("the store of %s differs from the fold of what is left of partition %d (%v)", n.name, p, err)
		}
	}
	if st.Halted != "" {
		w.counts.Halts++
	}
}
