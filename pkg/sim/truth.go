package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
	mu    sync.Mutex // guards what the links know
	parts []*partTruth
	// wanted are the deliveries that the log asks for, by app and thread, in
	// order; next is how many of them their app has seen.
	wanted map[receiver][]wanted
	next   map[receiver]int
	ids    map[appID]wanted
	acked  map[[16]byte]int  // commands, with their partition
	keys   map[string]string // by Idempotency-Key, the token under which it came to the platform
	denied map[[16]byte]bool // commands whose callers were told that nothing happened
}

type partTruth struct {
	fold    eventlog.Partition
	records int
	states  map[control.ThreadKey]control.State
	// past are the states that a thread has had, each with the number of the
	// record that brought it.
	past    map[control.ThreadKey][]pastState
	causes  map[[16]byte]decidedAt // per command, the decision of it
	events  map[control.Position][16]byte
	sends   map[control.Position]*sent
	loss    *loss                  // nil for none
	damage  *damage                // likewise
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
		what     string // for people
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
		acked: map[[16]byte]int{}, denied: map[[16]byte]bool{}, keys: map[string]string{},
	}
	for range w.options.Partitions {
		t.parts = append(t.parts, &partTruth{
			states: map[control.ThreadKey]control.State{}, past: map[control.ThreadKey][]pastState{},
			causes: map[[16]byte]decidedAt{}, events: map[control.Position][16]byte{}, inputs: map[[16]byte]decidedAt{},
			sends: map[control.Position]*sent{},
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
	t.w.counts.Records++
	t.w.counts.Events += len(rec.Entries)
	if part.loss != nil {
		if part.loss.records[rec.Prev] {
			t.w.fail("the record at sequence %d was decided on one that the log has lost", sequence)
		}
		delete(part.loss.records, rec.Hash) // whoever was not told its outcome has written it again
		return
	}
	for i := range rec.Entries {
		at, e := rec.First+control.Position(i), &rec.Entries[i]
		t.entry(p, e, decidedAt{part.records, at, rec.DecidedAt, described(&rec, e, at)})
	}
	t.plan(p, &rec)
	t.inputFirst(p, &rec)
	part.roster = rec.RosterVersion
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
	t.send(p, e.Event, e.Cause == ([16]byte{}), now)
	if e.Cause != ([16]byte{}) {
		t.caused(p, e, now)
	}
	if key, ok := dedupeOf(e.Event); ok {
		if before, ok := part.inputs[key]; ok && now.at-before.at < eventlog.DedupeFor {
			t.w.fail("one webhook event is decided twice in partition %d: %s; %s", p, before.what, now.what)
		}
		part.inputs[key] = now
	}
}

// described is an entry for people.
func described(rec *eventlog.Record, e *eventlog.Entry, at control.Position) string {
	return fmt.Sprintf("position %d %T of thread %d, caused by %x, epoch %d, claim %t, decided at %d",
		at, e.Event, e.Thread.Person, e.Cause[:4], rec.Epoch, rec.Claim, rec.DecidedAt)
}

// caused looks at an entry that came from a command: one that decides it is the
// only one, within the time for which commands are remembered.
func (t *truth) caused(p int, e *eventlog.Entry, now decidedAt) {
	part := t.parts[p]
	if t.denied[e.Cause] {
		t.w.fail("a command's caller was told that it was not decided, in partition %d: %s", p, now.what)
	}
	if settles(e.Event) {
		return
	}
	part.events[now.position] = e.Cause
	if before, ok := part.causes[e.Cause]; ok && before.record != now.record && now.at-before.at < eventlog.CommandFor {
		t.w.fail("a command is decided twice in partition %d: %s; %s", p, before.what, now.what)
	}
	part.causes[e.Cause] = now
}

// settles tells the events that were due anyway when a command came: the lapse
// of control, its loss by an app that is gone, and the surveys that waited for
// either. The rules settle them before they look at the command, and keep them
// when they refuse it. They carry the command's id and do not decide it: nothing
// is remembered under the id, and a repeat of the refused command is decided as
// if it came for the first time. Of the surveys that the command itself sets
// free nothing is lost here: its own event is before them in the record.
func settles(e control.Event) bool {
	switch e := e.(type) {
	case control.Expired, control.SurveyDelivered, control.SurveyDropped:
		return true
	case control.Released:
		return e.Why == control.WhyAppGone
	default:
		return false
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
	if t.w.flipped {
		t.w.asWritten(app, body)
	}
	for i, id := range list {
		var p int
		if _, err := fmt.Sscanf(id, "%d-", &p); err != nil || p >= len(t.parts) {
			t.w.fail("a POST to %v has ids %s", app, ids)
			return
		}
		if t.parts[p].loss != nil {
			continue
		}
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
		case t.parts[p].damage != nil: // what cannot be read is a dead letter
			t.next[to] = 1 + slices.Index(queue, want)
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
	if part.loss != nil {
		return
	}
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
	lossy   bool   // the log had lost something
}

func (t *truth) arrival(p int) arrival {
	part := t.parts[p]
	return arrival{part.records, part.fold.Head().Epoch, part.loss != nil}
}

// told looks at an answer that a holder has just given.
func (t *truth) told(c *call, from string, at arrival, r *commandv1.Response) {
	switch r.GetStatus() {
	case commandv1.Status_STATUS_OK, commandv1.Status_STATUS_REFUSED, commandv1.Status_STATUS_REPEAT:
	default:
		return
	}
	t.w.counts.Answers++
	part := t.parts[c.partition]
	if part.loss != nil {
		if at.lossy && t.w.onLost(from, c.partition) {
			t.w.fail("%s answers command %x by what the log has lost of partition %d: %v", from, c.id[:4], c.partition, r.GetStatus())
		}
		return
	}
	if d, ok := part.causes[c.id]; ok && r.GetPosition() == 0 && d.record <= at.records && t.time(part)-d.at < eventlog.CommandFor {
		t.w.fail("a command came again after it was decided, and was told %v: %s", r.GetStatus(), d.what)
	}
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

// time is the latest that a partition's time can be now.
func (t *truth) time(part *partTruth) control.Millis {
	latest := part.fold.Head().DecidedAt
	for _, n := range t.w.nodes {
		latest = max(latest, control.Millis(n.clock.Now().Add(n.clock.Offset()).UnixMilli()))
	}
	return latest
}

// had reports whether a thread was in a state after the given record or later.
func (p *partTruth) had(thread control.ThreadKey, record int, owner control.AppID, revision uint32) bool {
	for _, past := range slices.Backward(p.past[thread]) {
		if past.owner == owner && past.revision == revision {
			return true
		}
		if past.record <= record {
			return false
		}
	}
	return owner == 0 && revision == 0
}
