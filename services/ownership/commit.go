package ownership

import (
	"context"
	"time"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// finish commits the step and gives its answers. A step without events answers
// after a barrier, or at once when no other holder can exist.
func (h *holder) finish(ctx context.Context, s *step) error {
	if s.err != nil {
		return s.err
	}
	h.refusals.flush(s)
	if len(s.entries) > 0 {
		return h.commit(ctx, s)
	}
	if len(s.answers) > 0 && h.cfg.Barrier {
		if err := h.barrier(h.publishing); err != nil {
			return err
		}
	}
	s.answer()
	h.settle(s)
	return nil
}

// settle notes what a finished step leaves behind: how far the input is decided
// and which threads' effects are to be looked at again.
func (h *holder) settle(s *step) {
	if h.unread.left() {
		h.decidedTo.Store(h.unread.before)
	} else {
		h.decidedTo.Store(h.consumed)
	}
	for _, key := range s.look {
		h.startEffects(key)
	}
}

// commit publishes the step's record, projects it and answers.
func (h *holder) commit(ctx context.Context, s *step) error {
	rec := h.record()
	rec.DecidedAt, rec.Entries, rec.RosterVersion = s.now, s.entries, h.snapshot.Version()
	if !h.unread.left() {
		rec.Input = max(rec.Input, h.consumed)
	} else {
		rec.Input = max(rec.Input, h.unread.before)
	}
	raw := h.encode(&rec)
	h.deps.Observe.reached(PointRecordSend, h.partition)
	began, wrote := time.Now(), h.time.wall()
	sequence, err := h.append(h.publishing, &rec, raw)
	if err != nil {
		return err
	}
	h.deps.Observe.appended(time.Since(began), len(rec.Entries))
	h.deps.Observe.reached(PointRecordAcked, h.partition)
	h.wrote = written{sequence, wrote, h.time.wall()}
	if err := h.applied1(&rec, raw, sequence, s); err != nil {
		return err
	}
	h.deps.Observe.reached(PointApplied, h.partition)
	s.answer()
	h.after(&rec, s)
	if h.time.compareDue() {
		h.compareClock(ctx)
	}
	return nil
}

// keepRecord is the largest encoded record whose memory the next one gets.
const keepRecord = 64 << 10

// encode is eventlog.Encode into memory that is used again: nobody keeps a record
// that was appended and applied.
func (h *holder) encode(rec *eventlog.Record) []byte {
	raw := eventlog.Append(h.raw[:0], rec)
	if cap(raw) <= keepRecord {
		h.raw = raw
	}
	return raw
}

// written is this holder's last record: when its write began, and when it was
// acknowledged.
type written struct {
	sequence uint64
	from, to time.Time
}

// compareClock compares the time that NATS put on this holder's last record with
// this holder's.
func (h *holder) compareClock(ctx context.Context) {
	msg, err := h.deps.Log.LastLog(ctx, h.partition)
	if err != nil || msg.Sequence != h.wrote.sequence {
		return // deposed, or a matter of the next publish
	}
	before := h.time.doubtful()
	h.time.compare(msg.At, h.wrote.from, h.wrote.to)
	if after := h.time.doubtful(); after != before {
		h.log.Warn("the clock against the time of NATS", "doubtful", after, "nats", msg.At, "here", h.wrote.to)
		h.publishStatus(h.current.Load().Held)
	}
}

// applied1 projects a durable record into the store and memory.
func (h *holder) applied1(rec *eventlog.Record, raw []byte, sequence uint64, s *step) error {
	var changes []store.Change
	var rows []uint32
	if s != nil {
		changes, rows = s.changes(), s.rows
	}
	if err := h.part.Apply(rec, raw, sequence, changes); err != nil {
		return err
	}
	h.applied, h.sequence = h.part.Applied(), sequence
	h.keep(changes, rows)
	return nil
}

// keep brings the threads in memory up to what was applied. rows are their rows;
// nil when they are not known.
func (h *holder) keep(changes []store.Change, rows []uint32) {
	for i := range changes {
		c, row := &changes[i], uint32(0)
		if rows != nil {
			row = rows[i]
		}
		before := h.threads.putAt(row, c.Thread, slot{state: c.State, armed: c.Due})
		if h.counted && before != c.State.Owner {
			h.deps.Observe.owned(before, -1)
			h.deps.Observe.owned(c.State.Owner, 1)
		}
	}
}

// after does what must not delay the answers: metrics, the control topic,
// effects.
func (h *holder) after(rec *eventlog.Record, s *step) {
	for i := range rec.Entries {
		h.deps.Observe.decided(rec.Entries[i].Event)
	}
	s.lent = h.topic.add(h.partition, committed{rec, s.after})
	for i := range s.changed {
		if c := &s.changed[i]; c.State.Rare != nil { // where effects are
			h.startEffects(c.Thread)
		}
		h.resumeWaiting(s.changed[i].Thread)
	}
	h.settle(s)
	h.publishStatus(true)
}
