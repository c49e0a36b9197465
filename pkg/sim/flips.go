package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/services/fanout"
)

// Once in a run a bit changes in a message that a stream has stored: whoever reads it
// from then on reads it changed. What must hold: who needs it to go on halts its
// partition and says so, nobody decides by it or delivers it, and the other partitions
// go on. Who has read it before may go on, and has everything.

// damage is what became of a partition whose stream has a changed message.
type damage struct {
	log bool // in the log; else in the input
	at  uint64
}

// flips are the faults of bits.
func (w *World) flips() []action {
	if !w.options.Flip || w.flipped || w.scheduler.steps < w.options.Steps/4 {
		return nil
	}
	return []action{
		{"a bit of the log changes", 4, func() { w.flip(&w.servers.log, true) }},
		{"a bit of the input changes", 4, func() { w.flip(&w.servers.in, false) }},
	}
}

// flip changes a bit of one of the newest messages of a stream.
func (w *World) flip(s *stream, log bool) {
	if len(s.messages) == 0 {
		return
	}
	w.flipped = true
	rng := w.scheduler.rng
	m := &s.messages[len(s.messages)-1-rng.IntN(min(8, len(s.messages)))]
	m.Data = slices.Clone(m.Data)
	bit := rng.IntN(8 * len(m.Data))
	m.Data[bit/8] ^= 1 << (bit % 8)
	w.truth.parts[m.Partition].damage = &damage{log, m.Sequence}
}

// restWithDamage lets everybody find what is wrong, and looks whether what must halt
// has halted, and nothing else.
func (w *World) restWithDamage() {
	w.quietDown()
	for p := range w.options.Partitions {
		w.told(p, w.nodes[0])
	}
	for _, n := range w.nodes {
		w.start(n)
		n.rosters.hear()
	}
	w.quieten(20)
	if missing := w.missing(); missing != "" {
		w.fail("%s", missing)
	}
	for p, part := range w.truth.parts {
		for _, n := range w.nodes {
			w.wholeOrHalted(n, p, part)
		}
		w.decidedOrHalted(p, part)
	}
}

// wholeOrHalted looks whether a node has all that the log says, or has halted.
func (w *World) wholeOrHalted(n *node, p int, part *partTruth) {
	stored, err := n.life.store.Partition(p)
	if err != nil {
		w.fail("%v", err)
		return
	}
	st := n.life.ownership.Statuses()[p]
	digest, err := stored.Digest()
	follows := st.Held || w.options.Nodes > 1
	switch {
	case st.Halted != "" && part.damage == nil:
		w.fail("%s has halted partition %d, which is not damaged: %s", n.name, p, st.Halted)
	case err != nil:
		w.fail("the store of %s, partition %d: %v", n.name, p, err)
	case st.Halted == "" && follows && digest != part.fold.Digest():
		w.fail("the store of %s, applied up to %+v, differs from the fold of partition %d, and has not halted: %+v", n.name, stored.Applied(), p, st)
	}
	if st.Halted != "" {
		w.counts.Halts++
	}
	i := slices.IndexFunc(n.life.fanout.Partitions(), func(s fanout.PartitionStatus) bool { return s.Partition == p })
	if i < 0 {
		return
	}
	switch s := n.life.fanout.Partitions()[i]; {
	case s.Halted != nil && (part.damage == nil || !part.damage.log):
		w.fail("%s has halted the deliveries of partition %d, whose log is not damaged: %v", n.name, p, s.Halted)
	case s.Halted == nil && s.Position != part.fold.Head().Position:
		w.fail("fan-out of %s stands at %d in partition %d, which ends at %d, and has not halted", n.name, s.Position, p, part.fold.Head().Position)
	}
}

// decidedOrHalted looks whether all events of a damaged partition that were taken are
// decided, or somebody says why not.
func (w *World) decidedOrHalted(p int, part *partTruth) {
	if part.damage == nil {
		return
	}
	for _, n := range w.nodes {
		if n.life.ownership.Statuses()[p].Halted != "" {
			return
		}
	}
	for _, e := range w.events {
		key := control.ThreadKey{Asset: e.GetAsset(), Person: e.GetPerson()}
		if w.partitionOf(key) == p && !w.decided(e) {
			w.fail("webhook event %x was taken and is not decided, and nobody has halted partition %d", e.GetDedupe(), p)
		}
	}
}

// asWritten looks whether the messages of a POST are those that the platform sent.
func (w *World) asWritten(app control.AppID, body []byte) {
	var post struct {
		Entry []map[string]json.RawMessage `json:"entry"`
	}
	_ = json.Unmarshal(body, &post) // received has read it
	for _, e := range post.Entry {
		for _, channel := range []string{"messaging", "standby"} {
			var list []struct {
				Message *struct {
					Mid  string `json:"mid"`
					Text string `json:"text"`
				} `json:"message"`
			}
			if e[channel] == nil {
				continue
			}
			if err := json.Unmarshal(e[channel], &list); err != nil {
				w.fail("a POST to %v cannot be read: %v", app, err)
			}
			for _, m := range list {
				if m.Message != nil && !w.sentByPlatform(m.Message.Mid, m.Message.Text) {
					w.fail("app %v got a message %q that says %q, which the platform never sent", app, m.Message.Mid, m.Message.Text)
				}
			}
		}
	}
}

func (w *World) sentByPlatform(mid, text string) bool {
	return slices.ContainsFunc(w.events, func(e *event) bool {
		return e.GetMid() == mid && bytes.Contains(e.GetRaw(), fmt.Appendf(nil, `"text":"%s"`, text))
	})
}
