package sim

import (
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
)

// clockSlack is more than the wall clocks of nodes are off by.
const clockSlack = control.Minute

// inputFirst looks whether a lapse by a timer came before input that had to be
// decided first: what the person wrote, and the stream had stored, before the
// deadline.
func (t *truth) inputFirst(p int, rec *eventlog.Record) {
	entries := map[control.ThreadKey]int{}
	for i := range rec.Entries {
		entries[rec.Entries[i].Thread]++
	}
	for i := range rec.Entries {
		e := &rec.Entries[i]
		lapse, ok := e.Event.(control.Expired)
		if !ok || e.Cause != ([16]byte{}) || entries[e.Thread] > 1 {
			continue // a lapse that was met on the way to something else
		}
		if at := t.unread(p, e.Thread, rec.Input, lapse.At); at != 0 {
			t.w.fail("control of thread %d lapses at %d in partition %d, and input %d of before that is not decided yet (up to %d)",
				e.Thread.Person, lapse.At, p, at, rec.Input)
		}
	}
}

// unread is a message behind input with what a thread's person wrote before a
// time, and that was stored before it; 0 for none.
func (t *truth) unread(p int, thread control.ThreadKey, input uint64, deadline control.Millis) uint64 {
	in := &t.w.servers.in
	for i := min(input, in.last()); i < in.last(); i++ {
		if m := in.messages[i]; m.Partition == p && in.stored[i] < deadline-clockSlack {
			if d := t.parts[p].damage; d != nil && !d.log && d.at == m.Sequence {
				continue // nobody can read it
			}
			batch := new(inboundv1.Batch)
			if err := proto.Unmarshal(m.Data, batch); err != nil {
				t.w.fail("input %d: %v", m.Sequence, err)
				return 0
			}
			for _, e := range batch.GetEvents() {
				if e.GetPerson() == thread.Person && e.GetKind() == uint32(control.KindMessage) && control.Millis(e.GetTimestampMs()) < deadline-clockSlack {
					return m.Sequence
				}
			}
		}
	}
	return 0
}
