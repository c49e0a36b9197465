package eventlogtest

import (
	"encoding/binary"
	"reflect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// Start is the partition time at which histories begin.
const Start control.Millis = 1_790_000_000_000

// History makes the records of one partition, one after the other, as a holder
// would write them: contiguous, chained, times and inputs never going back.
// What the records say is random: few threads, keys and ids, so that they meet
// again.
type History struct {
	// Threads is how many threads there are, 6 if zero. MaxEvents bounds the
	// entries of a record, 5 if zero.
	Threads   int
	MaxEvents int
	// Busy lets partition time pass in milliseconds; otherwise it also jumps
	// by hours and days.
	Busy bool

	c    Chooser
	last eventlog.Record
}

// NewHistory returns the empty history of partition p.
func NewHistory(c Chooser, p uint32) *History {
	h := &History{c: c, last: eventlog.Record{Partition: p, First: 1, DecidedAt: Start}}
	h.last.BatonID = [16]byte{0xba, 0x70}
	return h
}

// Next returns the next record and its encoding. The first one is a claim.
func (h *History) Next() (*eventlog.Record, []byte) {
	r := h.last
	r.First, r.Prev = h.last.Last()+1, h.last.Hash
	r.Claim, r.Holder, r.Entries = false, "", nil
	if r.Epoch == 0 || h.c.IntN(8) == 0 {
		r.Claim, r.Holder = true, "node-a"
		r.Epoch += 1 + uint64(h.c.IntN(2))
	}
	r.DecidedAt += h.pause()
	r.Input += uint64(h.c.IntN(3))
	binary.BigEndian.PutUint64(r.Group[:], uint64(r.First)<<16|r.Epoch)
	for range h.entries(r.Claim) {
		r.Entries = append(r.Entries, h.entry(&r))
	}
	raw := eventlog.Encode(&r)
	h.last = r
	return &r, raw
}

func (h *History) entries(claim bool) int {
	if claim {
		return 0
	}
	if h.MaxEvents == 0 {
		return 1 + h.c.IntN(5)
	}
	return h.MaxEvents
}

// pause is the time since the record before: mostly none, at times long enough
// for keys to lapse.
func (h *History) pause() control.Millis {
	if h.Busy {
		return control.Millis(h.c.IntN(3))
	}
	switch h.c.IntN(10) {
	case 0:
		return control.Millis(h.c.IntN(60)) * control.Hour
	case 1, 2:
		return control.Millis(h.c.IntN(30)) * control.Minute
	default:
		return control.Millis(h.c.IntN(2))
	}
}

func (h *History) entry(r *eventlog.Record) eventlog.Entry {
	e := AnyEvent(h.c)
	v := reflect.New(reflect.TypeOf(e)).Elem()
	v.Set(reflect.ValueOf(e))
	h.settle(v, r)
	e, _ = reflect.TypeAssert[control.Event](v) // it was one above
	entry := eventlog.Entry{Thread: h.Thread(), Cause: h.id(), Event: e}
	if _, ok := e.(control.RosterApplied); ok {
		entry.Thread = control.ThreadKey{}
	}
	return entry
}

// Thread returns one of the history's threads.
func (h *History) Thread() control.ThreadKey {
	n := h.Threads
	if n == 0 {
		n = 6
	}
	i := h.c.IntN(n)
	return control.ThreadKey{Asset: 100200300400500 + uint64(i%3), Person: 7000 + uint64(i/3)}
}

// settle makes the fields of an event plausible by their names, so that events
// meet: times near the record's, keys out of a few, positions of the past.
func (h *History) settle(v reflect.Value, r *eventlog.Record) {
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		switch {
		case name == "Change" || name == "Call":
			h.settle(field, r)
		case name == "Answers":
		case name == "KeyUntil":
			field.SetInt(int64(r.DecidedAt) + int64(h.c.IntN(30))*int64(control.Hour))
		case field.Type() == reflect.TypeFor[control.Millis]():
			field.SetInt(int64(r.DecidedAt))
		case field.Type() == reflect.TypeFor[[16]byte]():
			field.Set(reflect.ValueOf(h.id()))
		case field.Type() == reflect.TypeFor[control.Position]():
			field.SetUint(uint64(r.First) + uint64(len(r.Entries)) - uint64(h.c.IntN(int(min(r.First, 9)))))
		case field.Type() == reflect.TypeFor[control.AppID]():
			field.SetUint(700000000000000 + uint64(h.c.IntN(4)))
		}
	}
}

// id is one of a few ids, or zero.
func (h *History) id() (id [16]byte) {
	id[15] = byte(h.c.IntN(24))
	return id
}
