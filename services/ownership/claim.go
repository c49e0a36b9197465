package ownership

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// claimTries is how often a claim is tried at once: records that come in between
// are few, and read already.
const claimTries = 5

// errOutrun ends a claim while another holder writes faster than this one reads.
var errOutrun = errors.New("ownership: another holder writes while the partition is claimed")

// claim brings the partition's store up to the end of its log and appends a
// claim with the next epoch. An accepted claim proves that everything before it
// has been read. The error is a halt, errOutrun, one of the bus, or ctx's.
func (h *holder) claim(ctx context.Context) error {
	topic, ready, err := h.outset(ctx)
	if err != nil {
		return err
	}
	lacked := -h.replayed
	for tries := range claimTries {
		// Between the look at the log's end and the claim there is no other request,
		// unless an input is in doubt: a holder that does not know of its successor may
		// write at any time.
		if err := h.ascertain(ctx); err != nil {
			return err
		}
		if ready && tries == 0 {
			h.sequence = h.applied.Sequence // the record is refused if the log goes on
		} else if err := h.catchUp(ctx); err != nil {
			return err
		}
		if tries == 0 {
			lacked += h.replayed // what comes later, a holder has written that is alive
		}
		if err := h.checkTopic(ctx, topic); err != nil {
			return err
		}
		if err := h.judgeInput(ctx); err != nil {
			return err
		}
		err := h.appendClaim(ctx)
		if err == nil {
			h.deps.Observe.claimed(h.partition, lacked)
			h.log.Debug("partition claimed", "epoch", h.epoch, "prepared", ready, "tries", tries+1)
		}
		if !errors.Is(err, errDeposed) {
			return err
		}
	}
	return errOutrun
}

// checkPositions compares the store with the streams before anything is
// written, and returns where the log ends. Source: design, "Positions are checked,
// not trusted".
func (h *holder) checkPositions(ctx context.Context) (end uint64, err error) {
	h.applied = h.part.Applied()
	a := h.applied
	if a.Sequence != 0 && a.BatonID != h.cfg.BatonID {
		return 0, halt(DamageForeign, "the store belongs to installation %x, the streams to %x", a.BatonID, h.cfg.BatonID)
	}
	began := h.trustNow()
	last, err := h.deps.Log.LastLog(ctx, h.partition)
	if errors.Is(err, bus.ErrNoMessage) {
		if a.Sequence != 0 {
			return 0, h.shorter(ctx, 0, "the store has applied log sequence %d but the log is empty", a.Sequence)
		}
		return 0, nil
	}
	if errors.Is(err, bus.ErrDamaged) {
		return 0, halt(DamageRecord, "last record: %v", err)
	}
	if err != nil {
		return 0, fmt.Errorf("ownership: last record of partition %d: %w", h.partition, err)
	}
	if err := h.compareLast(ctx, a, last); err != nil {
		return 0, err
	}
	if a.Sequence == last.Sequence {
		h.trusted = began
	}
	return last.Sequence, nil
}

func (h *holder) compareLast(ctx context.Context, a store.Applied, last bus.Message) error {
	if a.Sequence > last.Sequence {
		return h.shorter(ctx, last.Sequence, "the store has applied log sequence %d, the log ends at %d", a.Sequence, last.Sequence)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		return unreadable("last record", last.Sequence, err)
	}
	if a.Sequence == last.Sequence && rec.Hash != a.Hash {
		// It was skipped, or it is another one: the last that was applied tells.
		if err := h.sameHistory(ctx); err != nil {
			return err
		}
	}
	if rec.BatonID != h.cfg.BatonID {
		return halt(DamageRecord, "the last record belongs to installation %x, the streams to %x", rec.BatonID, h.cfg.BatonID)
	}
	return h.checkInput(ctx, &rec, last.At)
}

// catchUp applies the records after the applied sequence, a few one by one, many
// with a reader.
func (h *holder) catchUp(ctx context.Context) error {
	for n := 1; ; n++ {
		msg, err := h.deps.Log.NextLog(ctx, h.partition, h.applied.Sequence)
		if errors.Is(err, bus.ErrNoMessage) {
			h.sequence = h.applied.Sequence
			return nil
		}
		if err == nil {
			err = h.replay(ctx, msg)
		}
		if err == nil && n%fewRecords == 0 {
			err = h.replayRest(ctx)
		}
		if errors.Is(err, bus.ErrDamaged) {
			return halt(DamageRecord, "log after sequence %d: %v", h.applied.Sequence, err)
		}
		if err != nil {
			return fmt.Errorf("ownership: log after %d: %w", h.applied.Sequence, err)
		}
	}
}

// replay applies one record that an earlier holder wrote. One of an ended epoch is
// skipped, if the log has what ended it: else it is another history.
func (h *holder) replay(ctx context.Context, msg bus.Message) error {
	rec, err := eventlog.Decode(msg.Data)
	if err != nil {
		return unreadable("record", msg.Sequence, err)
	}
	if err := h.load(); err != nil {
		return err
	}
	changes := h.refold(&rec)
	err = h.part.Apply(&rec, msg.Data, msg.Sequence, changes)
	switch {
	case errors.Is(err, eventlog.ErrStaleEpoch):
		if err := h.sameHistory(ctx); err != nil {
			return err
		}
		h.deps.Observe.fenced(h.partition)
		h.log.Error("record of a deposed holder skipped", "sequence", msg.Sequence, "epoch", rec.Epoch, "position", rec.First)
		h.skipped.Add(1)
		if err := h.part.Skip(msg.Sequence); err != nil {
			return err
		}
	case errors.Is(err, eventlog.ErrBrokenChain):
		return halt(DamageChain, "record at log sequence %d: %v", msg.Sequence, err)
	case err != nil:
		return err
	default:
		h.keep(changes, nil)
	}
	h.replayed++
	h.applied = h.part.Applied()
	return nil
}

// refold folds a record into the states of the threads it touches and moves
// their timer rows as the holder that wrote it did.
func (h *holder) refold(rec *eventlog.Record) []store.Change {
	at := map[control.ThreadKey]int{}
	var changes []store.Change
	for i := range rec.Entries {
		e := &rec.Entries[i]
		if !e.Evolves() {
			continue
		}
		n, ok := at[e.Thread]
		if !ok {
			n = len(changes)
			at[e.Thread] = n
			t, _ := h.threads.get(e.Thread)
			changes = append(changes, store.Change{Thread: e.Thread, State: t.state, Was: t.armed})
		}
		changes[n].State = control.Evolve(changes[n].State, e.Event)
	}
	for i := range changes {
		c := &changes[i]
		c.Due = h.arm(c.State, c.Was, rec.DecidedAt)
	}
	return changes
}

// appendClaim writes the claim and makes its epoch this holder's.
func (h *holder) appendClaim(ctx context.Context) error {
	h.time = newPartitionClock(h.deps.Clock, h.applied.DecidedAt)
	rec := h.record()
	rec.Epoch, rec.Claim, rec.Holder = h.applied.Epoch+1, true, h.cfg.Holder
	rec.DecidedAt = h.time.now()
	raw := eventlog.Encode(&rec)
	h.deps.Observe.reached(PointClaimSend, h.partition)
	wrote := h.time.wall()
	sequence, err := h.append(ctx, &rec, raw)
	if err != nil {
		return err
	}
	h.deps.Observe.reached(PointClaimAcked, h.partition)
	h.epoch, h.refilled = rec.Epoch, false
	h.wrote = written{sequence, wrote, h.time.wall()}
	return h.applied1(&rec, raw, sequence, nil)
}

// record starts the next record of this holder.
func (h *holder) record() eventlog.Record {
	rec := eventlog.Record{
		Partition:     uint32(h.partition),
		Epoch:         h.epoch,
		First:         h.applied.Position + 1,
		RosterVersion: h.applied.RosterVersion,
		Input:         h.applied.Input,
		BatonID:       h.cfg.BatonID,
		Prev:          h.applied.Hash,
	}
	_, _ = rand.Read(rec.Group[:]) // never fails
	return rec
}

// load loads the threads' states into memory, unless they are there; from then on
// they follow the store. A thread counts as armed for the time at which something
// is due for it: its row is there or, after activity that moved none, earlier. So
// the rows need not be read. One that comes early is moved to that time then.
func (h *holder) load() error {
	if h.threads != nil {
		return nil
	}
	defer h.deps.Store.ReadOnce()()
	threads := newThreads()
	err := threads.fill(func(put func(control.ThreadKey, slot)) error {
		return h.part.EachThread(func(key control.ThreadKey, st control.State) error {
			put(key, slot{state: st, armed: control.NextDue(st, nil)})
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("ownership: loading the threads of partition %d: %w", h.partition, err)
	}
	h.threads = threads
	return nil
}

// takeOver begins with the threads as they are: their timers and their effects
// are this holder's now.
func (h *holder) takeOver() {
	h.counted = true
	h.countOwners(1)
	for key, t := range h.threads.all() {
		if t.state.Rare != nil { // where effects are
			h.startEffects(key)
		}
	}
	h.dueAt = h.time.now()
}

// countOwners adds the threads to the gauges of their owners, or takes them away.
func (h *holder) countOwners(sign int) {
	owners := map[control.AppID]int{}
	for _, t := range h.threads.all() {
		owners[t.state.Owner] += sign
	}
	for owner, n := range owners {
		h.deps.Observe.owned(owner, n)
	}
}
