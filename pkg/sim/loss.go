package sim

import (
	"slices"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/services/fanout"
)

// loss is what the log has lost of a partition: acknowledged records that were
// not on the disk when the power went, because the disk or the configuration had
// lied. What was promised by them is broken and no longer looked after. What
// must hold: who has applied one of them never decides again, and says why.
type loss struct {
	records map[[32]byte]bool             // by hash
	last    map[control.Position][32]byte // of them, by the position that they end at
	readers []reading                     // of what is lost
}

// reading is a tenure of fan-out that has read a record which is lost.
type reading struct {
	link     *link
	epoch    uint64
	position control.Position // up to which it had read
	record   [32]byte         // the last that it had read
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
	w.cutLog(1 + w.scheduler.rng.IntN(30))
}

// loseTailBlind is the servers going down and coming again without the end of the
// log, while nodes live on: all connections break. Some nodes may have stood beside
// the servers, and forget with them what they had not synced: these write another
// history. In half of the runs the faults end soon after, while those who have read
// what is lost still live.
func (w *World) loseTailBlind() {
	w.reconnect()
	w.cutLog(1 + w.scheduler.rng.IntN(5)) // so little that others soon have written as much again
	w.blind = true
	for _, n := range w.nodes {
		if n.life != nil && w.scheduler.chance(30) {
			w.counts.Crashes++
			n.crash(true)
		}
	}
	for _, n := range w.nodes {
		if n.life != nil {
			w.truth.readers(n.life)
		}
	}
	if w.scheduler.chance(50) {
		w.options.Steps = min(w.options.Steps, w.scheduler.steps+50+w.scheduler.rng.IntN(400))
	}
}

// reconnect breaks all connections to the servers, which are made anew.
func (w *World) reconnect() {
	for _, n := range w.nodes {
		if n.life != nil {
			n.life.link.reconnects.Add(1)
		}
	}
	w.breakCalls()
}

// breakCalls leaves all calls on the servers that are under way without an answer.
func (w *World) breakCalls() {
	w.servers.underWay = nil
	w.scheduler.alter(func(o *op) {
		if o.broken != nil {
			o.ready, o.ends, o.left = nil, []end{*o.broken}, nil
		}
	})
}

// readers notes which tenures of fan-out have read what the log has lost.
func (t *truth) readers(l *life) {
	for _, st := range l.fanout.Partitions() {
		part := t.parts[st.Partition]
		if part.loss == nil || st.Epoch == 0 || st.Position <= part.fold.Head().Position {
			continue
		}
		part.loss.readers = append(part.loss.readers, reading{l.link, st.Epoch, st.Position, part.loss.last[st.Position]})
	}
}

// readOn looks whether a tenure of fan-out that has read what is lost has gone on
// with what came in its place. What it had taken before, it may finish.
func (w *World) readOn() {
	for p, part := range w.truth.parts {
		if part.loss == nil {
			continue
		}
		for i := range part.loss.readers {
			r := &part.loss.readers[i]
			st, ok := r.status(p)
			if !ok || st.Position == r.position || !part.loss.records[r.record] {
				continue
			}
			if next := part.loss.last[st.Position]; part.loss.records[next] {
				r.position, r.record = st.Position, next
				continue
			}
			w.fail("fan-out of %s has read what the log has lost of partition %d up to %d, and goes on with what came in its place: %+v",
				r.link.name, p, r.position, st)
		}
	}
}

// status is the tenure as it is now; false when it is over.
func (r *reading) status(p int) (st fanout.PartitionStatus, ok bool) {
	if l := r.link.node.life; l != nil && l.link == r.link {
		for _, st := range l.fanout.Partitions() {
			if st.Partition == p && st.Epoch == r.epoch {
				return st, true
			}
		}
	}
	return st, false
}

// cutLog takes so many records off the end of the log.
func (w *World) cutLog(n int) {
	w.servers.underWay = nil
	log := &w.servers.log
	n = min(n, len(log.messages))
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
		part.loss = &loss{records: map[[32]byte]bool{}, last: map[control.Position][32]byte{}}
	}
	part.loss.records[rec.Hash] = true
	if len(rec.Entries) > 0 {
		part.loss.last[rec.Last()] = rec.Hash
	}
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
	if w.blind {
		w.noticed()
	}
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
	w.halted()
}

// noticed looks whether those who live on have noticed the loss by themselves.
func (w *World) noticed() {
	w.everybody()
	w.halted()
	w.notReadOn()
}

// everybody ends the faults, with all nodes at work.
func (w *World) everybody() {
	w.calmDown()
	for _, n := range w.nodes {
		n.frozen.Store(false)
		n.deaf.Store(false)
		if n.life == nil {
			w.start(n)
		}
	}
}

// halted lets everybody find what is wrong, and looks whether the right ones have
// halted.
func (w *World) halted() {
	for range 20 {
		w.settleFor(5)
	}
	for _, n := range w.nodes {
		n.gone()
		if n.life == nil {
			continue
		}
		for p, part := range w.truth.parts {
			w.notOnLost(n, p, part)
		}
		for _, st := range n.life.fanout.Partitions() {
			if st.Halted != nil && w.truth.parts[st.Partition].loss == nil {
				w.fail("%s has halted the deliveries of partition %d, which has lost nothing: %+v", n.name, st.Partition, st)
			}
		}
	}
}

// notReadOn looks whether the tenures of fan-out that have read what is lost have
// halted.
func (w *World) notReadOn() {
	for p, part := range w.truth.parts {
		if part.loss == nil {
			continue
		}
		for _, r := range part.loss.readers {
			if st, ok := r.status(p); ok && st.Halted == nil && part.loss.records[r.record] {
				w.fail("fan-out of %s has read what the log has lost of partition %d, and has not halted: %+v", r.link.name, p, st)
			}
		}
	}
}

// onLost reports whether a life, by its name, has applied what the log has lost.
func (w *World) onLost(name string, p int) bool {
	for _, n := range w.nodes {
		if n.life == nil || n.life.link.name != name {
			continue
		}
		stored, err := n.life.store.Partition(p)
		return err == nil && w.truth.parts[p].loss.records[stored.Applied().Hash]
	}
	return false
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
	case knows && st.Halted == "" && (w.options.Nodes > 1 || w.beating || n.holds[p]): // else it is not looked at
		w.fail("%s has applied a record of partition %d that the log has lost, and has not halted: %+v", n.name, p, st)
	case !knows && st.Halted != "" && part.loss == nil:
		w.fail("%s has halted partition %d, which has lost nothing: %s", n.name, p, st.Halted)
	case !knows && st.Halted == "" && (st.Held || w.options.Nodes > 1):
		if digest, err := stored.Digest(); err != nil || digest != part.fold.Digest() {
			w.fail("the store of %s, applied up to %+v, differs from the fold of what is left of partition %d (%v): %+v", n.name, applied, p, err, st)
		}
	}
	if st.Halted != "" {
		w.counts.Halts++
	}
}
