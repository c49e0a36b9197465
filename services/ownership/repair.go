package ownership

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/repair"
)

// Refill is the inbound stream as a repair needs it. Implemented by *bus.Conn.
type Refill interface {
	Inbound(ctx context.Context, p int, sequence uint64) (bus.Message, error)
	PublishInbound(ctx context.Context, p int, data []byte) (uint64, error)
}

// RepairOptions say how to repair.
type RepairOptions struct {
	// DryRun finds out what would be done and does nothing.
	DryRun bool
	// Accept says that a loss is accepted, and At where the log ends then.
	Accept bool
	At     control.Position
	// Begin is told of each step before it is done, and must have written it
	// down when it returns.
	Begin func(Step) error
	// Export keeps records, as they were, that the log will not have; it
	// returns the name of the file, durable on return.
	Export func(partition int, records iter.Seq[[]byte]) (file string, err error)
	// Input is the inbound stream.
	Input Refill
}

// Step is one thing that a repair does, or would do.
type Step struct {
	Partition int
	Damage    Damage
	// Way: restore, export, rebuild, refill-input, skip-input, lower-topic.
	Way string
	// From and To are positions of the log; see What.
	From, To control.Position
	// What is done, in words.
	What string
}

// The ways out.
const (
	wayRestore = "restore"
	wayExport  = "export"
	wayRebuild = "rebuild"
	wayRefill  = "refill-input"
	waySkip    = "skip-input"
	wayTopic   = "lower-topic"
)

// WayOutOfRecord is what an operator can do about a log that cannot be read: no
// stream takes a message in its middle.
const WayOutOfRecord = "if a replica of BATON_LOG has it whole, make that the leader; else stop every node, and baton backup DIR --mend --config FILE " +
	"puts it in out of this node's store: restored on empty streams, that backup loses nothing"

// Repair takes a halted partition of this node back to work and returns what was
// done. Other partitions are not concerned. It reads the whole log of the
// partition; nothing is lost unless the loss was accepted, and nothing is
// changed when an error is returned but by the steps that Begin was told of:
// each may be repeated.
//
// Errors: ErrNotHalted, ErrNoRepair, ErrRepairing, ErrWrongPosition, a
// *WouldLoseError, those of the store and the bus.
func (s *Service) Repair(ctx context.Context, p int, o RepairOptions) ([]Step, error) {
	h := s.holders[p]
	if !h.repairing.CompareAndSwap(false, true) {
		return nil, repair.ErrRepairing
	}
	defer h.repairing.Store(false)
	h.folding.Lock()
	halted, tenured := h.halted.Load(), h.tenured
	h.folding.Unlock()
	if halted == nil || tenured {
		return nil, repair.ErrNotHalted
	}
	// Halted, the partition is touched by nobody else.
	r := &mending{holder: h, o: o, damage: halted.damage}
	if err := r.run(ctx); err != nil {
		return r.steps, fmt.Errorf("partition %d: %w", p, err)
	}
	if !o.DryRun {
		h.resume()
	}
	return r.steps, nil
}

// resume lets a repaired partition work again.
func (h *holder) resume() {
	h.folding.Lock()
	h.halted.Store(nil)
	h.folding.Unlock()
	select {
	case h.mended <- struct{}{}:
	default:
	}
	h.log.Info("partition repaired", "position", h.part.Applied().Position)
}

// mending is one repair under way.
type mending struct {
	*holder
	o      RepairOptions
	damage Damage
	steps  []Step
}

func (r *mending) run(ctx context.Context) error {
	if r.damage == DamageVersion {
		return fmt.Errorf("%w: %s; start the Baton that wrote it, or a newer one", repair.ErrNoRepair, r.halted.Load().reason)
	}
	c, err := r.compareLogs(ctx)
	switch {
	case errors.Is(err, bus.ErrDamaged):
		return fmt.Errorf("%w: %w: %s", repair.ErrNoRepair, err, WayOutOfRecord)
	case err != nil:
		return err
	case c.logFault != nil:
		return fmt.Errorf("%w: %w: %s", repair.ErrNoRepair, c.logFault, WayOutOfRecord)
	}
	if r.o.Accept && r.o.At != c.head.Position {
		return fmt.Errorf("%w: %d was accepted, it ends at %d", repair.ErrWrongPosition, r.o.At, c.head.Position)
	}
	if err := r.settleLog(ctx, c); err != nil {
		return err
	}
	if err := r.settleInput(ctx, c); err != nil {
		return err
	}
	return r.settleTopic(ctx, c)
}

// step notes a step and does it.
func (r *mending) step(way string, from, to control.Position, do func() error, format string, args ...any) error {
	st := Step{Partition: r.partition, Damage: r.damage, Way: way, From: from, To: to, What: fmt.Sprintf(format, args...)}
	if r.o.DryRun {
		r.steps = append(r.steps, st)
		return nil
	}
	if err := r.o.Begin(st); err != nil {
		return fmt.Errorf("nothing is done that is not written down: %w", err)
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", way, err)
	}
	r.steps = append(r.steps, st)
	return nil
}

func (r *mending) wouldLose(c *comparison, format string, args ...any) error {
	return &repair.WouldLoseError{Partition: r.partition, Position: c.head.Position, What: fmt.Sprintf(format, args...)}
}

// settleLog makes log and store agree. What only the store has is written to the
// log again if the log can take it, else exported and given up.
func (r *mending) settleLog(ctx context.Context, c *comparison) error {
	at := r.part.Applied()
	ours := at.Sequence == 0 || at.BatonID == r.cfg.BatonID
	switch {
	case !ours: // it may be the only copy of what it has
		return fmt.Errorf("%w: %s: stop the node, then restore the streams that it belongs to, or run baton doctor --repair --config FILE "+
			"--move-store, which moves the store aside and rebuilds it", repair.ErrNoRepair, r.halted.Load().reason)
	case c.extra > 0 && !c.forked && c.storeFault == nil && !r.o.Accept:
		if err := r.restore(ctx, c); err != nil {
			return err
		}
		return r.rebuild(ctx, c, "its log is whole again")
	case c.extra > 0 && !r.o.Accept:
		return r.wouldLose(c, "%d records with %d events that only this node's store has, from position %d on, and that the log went on without",
			c.extra, c.extraEvents, c.extraFirst)
	case at.Position > c.head.Position && c.extra == 0 && !r.o.Accept:
		return r.wouldLose(c, "the store had positions up to %d and cannot be read: %v", at.Position, c.storeFault)
	case c.extra > 0:
		if err := r.export(c); err != nil {
			return err
		}
		return r.rebuild(ctx, c, "the loss is accepted")
	case r.damage == DamageInput || r.damage == DamageTopic:
		return nil // the store is what the log says
	}
	return r.rebuild(ctx, c, "the log has all that is left")
}

// restore writes the records that only the store has to the log again.
func (r *mending) restore(ctx context.Context, c *comparison) error {
	last := c.head.Position + control.Position(c.extraEvents)
	return r.step(wayRestore, c.head.Position+1, last, func() error {
		left := c.extra
		for raw := range r.extras(c) {
			rec, err := eventlog.Decode(raw)
			if err != nil {
				return err
			}
			if c.head, err = c.head.Next(&rec); err != nil {
				return err
			}
			r.sequence = c.sequence
			if c.sequence, err = r.append(ctx, &rec, raw); err != nil {
				return err
			}
			left--
		}
		if left != 0 {
			return fmt.Errorf("%d of %d records could not be read", left, c.extra)
		}
		return nil
	}, "%d records with %d events that the log had lost are written to it again, out of this node's store", c.extra, c.extraEvents)
}

// export keeps what only the store has in a file.
func (r *mending) export(c *comparison) error {
	return r.step(wayExport, c.extraFirst, c.extraFirst+control.Position(max(c.extraEvents, 1))-1, func() error {
		file, err := r.o.Export(r.partition, r.extras(c))
		if err == nil {
			r.log.Warn("records that the log has lost are exported", "file", file, "records", c.extra)
		}
		return err
	}, "%d records with %d events that the log has not are kept in a file under repairs in the data directory", c.extra, c.extraEvents)
}

// rebuild forgets what the store has of the partition and folds its log anew.
func (r *mending) rebuild(ctx context.Context, c *comparison, why string) error {
	return r.step(wayRebuild, 1, c.head.Position, func() error {
		if err := r.part.Wipe(ctx); err != nil {
			if _, damaged := asHalt(err); damaged {
				err = fmt.Errorf("%w: the damaged file holds other partitions too: stop the node and run baton doctor --repair --config FILE, "+
					"which moves it aside and rebuilds it: %w", repair.ErrNoRepair, err)
			}
			return err
		}
		r.threads, r.applied = nil, r.part.Applied()
		return r.eachRecord(ctx, func(m bus.Message) error { return r.replay(ctx, m) })
	}, "the partition's store is emptied and folded anew out of its log: %s", why)
}

// settleInput makes the sequences of the inbound stream go beyond what is
// decided, so that nothing that comes is taken for decided.
func (r *mending) settleInput(ctx context.Context, c *comparison) error {
	if r.damage != DamageInput {
		return nil
	}
	last, err := r.deps.Log.LastLog(ctx, r.partition)
	if err != nil {
		return err
	}
	if !r.o.Accept {
		return r.wouldLose(c, "%s; events that were acknowledged and not decided yet are gone, and those not delivered yet have no payload", r.halted.Load().reason)
	}
	if at := r.unreadable; at != 0 {
		return r.step(waySkip, c.head.Position, c.head.Position, func() error {
			r.givenUp, r.unreadable = at, 0
			return nil
		}, "input %d, which cannot be read, is passed over", at)
	}
	return r.step(wayRefill, c.head.Position, c.head.Position, func() error {
		return r.refill(ctx, c.head.Input, last)
	}, "the inbound stream is filled with empty messages up to sequence %d, and what has come in its place is put behind", c.head.Input)
}

// refill publishes empty messages until the stream has reached a sequence, and
// again what was stored up to there after the last record: it would be taken for
// decided. What is decided after all is absorbed as a duplicate.
func (r *mending) refill(ctx context.Context, upTo uint64, last bus.Message) error {
	_, end, _, err := r.deps.Input.InboundRange(ctx)
	for err == nil && end < upTo {
		end, err = r.o.Input.PublishInbound(ctx, r.partition, nil)
	}
	if err != nil {
		return err
	}
	from, err := r.newerInput(ctx, upTo, last.At)
	for sequence := from; err == nil && sequence <= upTo; sequence++ {
		m, fault := r.o.Input.Inbound(ctx, r.partition, sequence)
		switch {
		case fault == nil && len(m.Data) > 0:
			_, err = r.o.Input.PublishInbound(ctx, r.partition, m.Data)
		case fault != nil && !errors.Is(fault, bus.ErrNoMessage):
			err = fault
		}
	}
	r.refilled = true
	return err
}

// newerInput is the first of the sequences up to one whose messages were all
// stored after a time.
func (r *mending) newerInput(ctx context.Context, upTo uint64, after time.Time) (uint64, error) {
	for sequence := upTo; sequence > 0; sequence-- {
		at, err := r.deps.Input.InboundTime(ctx, sequence)
		if errors.Is(err, bus.ErrNoMessage) || err == nil && at.Before(after) {
			return sequence + 1, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 1, nil
}

// settleTopic lowers the control topic's cursor to the end of the log.
func (r *mending) settleTopic(ctx context.Context, c *comparison) error {
	data, sequence, err := r.deps.Topic.ControlCursor(ctx, r.partition)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return err
	}
	cursor, err := decodeCursor(data)
	if err != nil || cursor.Position <= c.head.Position {
		return nil //nolint:nilerr // the publisher's matter
	}
	if r.o.DryRun && len(r.steps) > 0 && r.steps[0].Way == wayRestore {
		return nil // it will not be ahead then
	}
	if !r.o.Accept {
		return r.wouldLose(c, "the control topic has positions up to %d; those from %d on are given to other changes, with the same ids",
			cursor.Position, c.head.Position+1)
	}
	return r.step(wayTopic, cursor.Position, c.head.Position, func() error {
		lower := topicCursor{Position: c.head.Position, Epoch: cursor.Epoch}
		_, err := r.deps.Topic.PublishControl(ctx, nil, []bus.CursorMove{{Partition: r.partition, Data: lower.encode(), Expected: sequence}})
		return err
	}, "the control topic's cursor goes back from position %d to %d", cursor.Position, c.head.Position)
}
