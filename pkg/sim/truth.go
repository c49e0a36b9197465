package sim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// truth is what the log says, folded as its records land, and what everybody
// outside was told. It finds the first promise that is broken.
type truth struct {
	w     *World
	parts []*partTruth
	// wanted are the deliveries that the log asks for, by app and thread, in
	// order; next is how many of them their app has seen.
	wanted map[receiver][]wanted
	next   map[receiver]int
	ids    map[appID]wanted
	acked  map[[16]byte]int  // commands, with their partition
	denied map[[16]byte]bool // commands whose callers were told that nothing happened
}

type partTruth struct {
	fold    eventlog.Partition
	records int
	states  map[control.ThreadKey]control.State
	// past are the states that a thread has had, each with the number of the
	// record that brought it.
	past    map[control.ThreadKey][]pastState
	causes  map[[16]byte]decidedAt // per command, the record that decided it
	events  map[control.Position][16]byte
	inputs  map[[16]byte]decidedAt // per de-duplication key
	topic   []string               // ids of the changes, in order
	onTopic int
	roster  uint64
}

type (
	pastState struct {
		owner    control.AppID
		revision uint32
		record   int
	}
	decidedAt struct {
		record   int
		position control.Position
		at       control.Millis
	}
	receiver struct {
		app    control.AppID
		thread control.ThreadKey
	}
	appID struct {
		app control.AppID
		id  string
	}
	wanted struct {
		id       string
		thread   control.ThreadKey
		position control.Position
		channel  string
	}
)

func newTruth(w *World) *truth {
	t := &truth{
		w: w, wanted: map[receiver][]wanted{}, next: map[receiver]int{}, ids: map[appID]wanted{},
		acked: map[[16]byte]int{}, denied: map[[16]byte]bool{},
	}
	for range w.options.Partitions {
		t.parts = append(t.parts, &partTruth{
			states: map[control.ThreadKey]control.State{}, past: map[control.ThreadKey][]pastState{},
			causes: map[[16]byte]decidedAt{}, events: map[control.Position][16]byte{}, inputs: map[[16]byte]decidedAt{},
		})
	}
	return t
}

// landed takes a record in that the log has just taken.
func (t *truth) landed(p int, sequence uint64, data []byte) {
	part := t.parts[p]
	rec, err := eventlog.Decode(data)
	if err == nil {
		err = part.fold.Apply(&rec)
	}
	switch {
	case errors.Is(err, eventlog.ErrStaleEpoch):
		t.w.fail("the record at sequence %d is of epoch %d, which is over", sequence, rec.Epoch)
		return
	case err != nil:
		t.w.fail("the record at sequence %d: %v", sequence, err)
		return
	}
	part.records++
	for i := range rec.Entries {
		t.entry(p, &rec.Entries[i], decidedAt{part.records, rec.First + control.Position(i), rec.DecidedAt})
	}
	t.plan(p, &rec)
	part.roster = rec.RosterVersion
	t.w.counts.Records++
	t.w.counts.Events += len(rec.Entries)
}

func (t *truth) entry(p int, e *eventlog.Entry, now decidedAt) {
	part, at := t.parts[p], now.position
	t.w.scheduler.note("  %d-%d thread %d %T %x", p, at, e.Thread.Person, e.Event, e.Cause[:4])
	if e.Evolves() {
		st := control.Evolve(part.states[e.Thread], e.Event)
		part.states[e.Thread] = st
		part.past[e.Thread] = append(part.past[e.Thread], pastState{st.Owner, st.Revision, part.records})
	}
	if eventlog.OnTopic(e.Event) {
		part.topic = append(part.topic, fmt.Sprintf("%d-%d", p, at))
	}
	if e.Cause != ([16]byte{}) {
		part.events[at] = e.Cause
		if before, ok := part.causes[e.Cause]; ok && before.record != now.record && now.at-before.at < eventlog.CommandFor {
			t.w.fail("command %x is decided twice, at positions %d and %d of partition %d", e.Cause[:4], before.position, at, p)
		}
		if t.denied[e.Cause] {
			t.w.fail("command %x is decided at position %d of partition %d, and its caller was told that it was not", e.Cause[:4], at, p)
		}
		part.causes[e.Cause] = now
	}
	if key, ok := dedupeOf(e.Event); ok {
		if before, ok := part.inputs[key]; ok && now.at-before.at < eventlog.DedupeFor {
			t.w.fail("one webhook event is decided at positions %d and %d of partition %d", before.position, at, p)
		}
		part.inputs[key] = now
	}
}

// dedupeOf is the key of the webhook event that an event decides.
func dedupeOf(e control.Event) (key [16]byte, ok bool) {
	switch e := e.(type) {
	case control.Routed:
		return e.Dedupe, !e.WasHeld
	case control.EchoWaits:
		return e.Dedupe, true
	default:
		return key, false
	}
}

// plan notes the deliveries of a record, by the roster in force at each of its
// positions.
func (t *truth) plan(p int, rec *eventlog.Record) {
	version := t.parts[p].roster
	for i, e := range rec.Entries {
		if applied, ok := e.Event.(control.RosterApplied); ok {
			version = applied.Version
			continue
		}
		if version == 0 {
			continue
		}
		rules := t.w.rosters[version-1].Delivery(e.Thread.Asset)
		if rules == nil {
			continue
		}
		at := rec.First + control.Position(i)
		for _, d := range delivery.Plan(rules, delivery.Entry{Partition: p, Position: at, Thread: e.Thread, Time: rec.DecidedAt, Event: e.Event}) {
			to := receiver{d.App, e.Thread}
			want := wanted{fmt.Sprintf("%d-%d", p, at), e.Thread, at, d.Channel.String()}
			t.wanted[to] = append(t.wanted[to], want)
			t.ids[appID{d.App, want.id}] = want
		}
	}
}

// received takes a POST in that has come to an app.
func (t *truth) received(app control.AppID, ids string, body []byte) {
	list := strings.Split(ids, ",")
	kinds, err := channels(body)
	if err != nil || len(kinds) != len(list) {
		t.w.fail("a POST to %v has ids %s and entries %v: %v", app, ids, kinds, err)
		return
	}
	for i, id := range list {
		want, ok := t.ids[appID{app, id}]
		if !ok || want.channel != kinds[i] {
			t.w.fail("delivery %s came to app %v as %s; the log wants %+v", id, app, kinds[i], want)
			return
		}
		to := receiver{app, want.thread}
		queue, n := t.wanted[to], t.next[to]
		switch {
		case n < len(queue) && queue[n].id == id:
			t.next[to]++
			t.w.counts.Deliveries++
		case n > 0 && want.position <= queue[n-1].position:
			t.w.counts.Repeats++ // recognisable: not above the last one seen
		default:
			t.w.fail("app %v got delivery %s before %s", app, id, queue[n].id)
			return
		}
	}
}

// published takes a change in that is on the control topic.
func (t *truth) published(m bus.ControlMessage) {
	var p int
	if _, err := fmt.Sscanf(m.ID, "%d-", &p); err != nil || p >= len(t.parts) {
		t.w.fail("a change on the topic has id %q", m.ID)
		return
	}
	part := t.parts[p]
	if part.onTopic >= len(part.topic) || part.topic[part.onTopic] != m.ID {
		t.w.fail("the topic has change %s after %d of %v", m.ID, part.onTopic, part.topic)
		return
	}
	part.onTopic++
	t.w.counts.Changes++
}

// arrival is a command that was handed to a holder.
type arrival struct {
	records int    // of the partition then
	epoch   uint64 // the highest then
}

func (t *truth) arrival(p int) arrival {
	part := t.parts[p]
	return arrival{part.records, part.fold.Head().Epoch}
}

// told looks at an answer that a holder has just given.
func (t *truth) told(c *call, at arrival, r *commandv1.Response) {
	switch r.GetStatus() {
	case commandv1.Status_STATUS_OK, commandv1.Status_STATUS_REFUSED, commandv1.Status_STATUS_REPEAT:
	default:
		return
	}
	t.w.counts.Answers++
	part := t.parts[c.partition]
	if r.GetEpoch() < at.epoch {
		t.w.fail("a holder of epoch %d answered command %x, which came when the log had epoch %d", r.GetEpoch(), c.id[:4], at.epoch)
	}
	if p := control.Position(r.GetPosition()); p != 0 && r.GetStatus() == commandv1.Status_STATUS_OK {
		// The end of a send is acknowledged at the position of the send.
		if _, ok := part.causes[c.id]; !ok || part.events[p] != c.id && c.req.GetSendOutcome() == nil {
			t.w.fail("command %x was acknowledged at position %d of partition %d, and the log has %x there", c.id[:4], p, c.partition, part.events[p])
		}
		t.acked[c.id] = c.partition
	}
	if v := r.GetThread(); v != nil && !part.had(c.thread, at.records, control.AppID(v.GetOwner()), v.GetRevision()) {
		t.w.fail("command %x was told that app %d owns thread %d at revision %d, which was not so at any moment since it came: %+v",
			c.id[:4], v.GetOwner(), c.thread.Person, v.GetRevision(), part.past[c.thread])
	}
}

// had reports whether a thread was in a state after the given record or later.
func (p *partTruth) had(thread control.ThreadKey, record int, owner control.AppID, revision uint32) bool {
	past := p.past[thread]
	for i := len(past) - 1; i >= 0; i-- {
		if past[i].owner == owner && past[i].revision == revision {
			return true
		}
		if past[i].record <= record {
			return false
		}
	}
	return owner == 0 && revision == 0
}
