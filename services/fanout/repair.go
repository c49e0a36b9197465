package fanout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
	"github.com/baton-router/baton/pkg/repair"
)

// RepairOptions say how to repair.
type RepairOptions struct {
	// DryRun finds out what would be done and does nothing.
	DryRun bool
	// Accept says that a loss is accepted, and At where the log ends then.
	Accept bool
	At     control.Position
	// Begin is told of the step before it is done, and must have written it
	// down when it returns.
	Begin func(Moved) error
}

// Moved is how a repair moves a cursor.
type Moved struct {
	Partition int
	From, To  control.Position
	What      string
}

// Repair puts the cursor of a halted partition where its log has the record
// that it stood at, or the last one before that the log and the cursor have in
// common: what lies behind is delivered again, with its ids as they are now. Then
// the partition is claimed again. Other partitions are not concerned.
//
// Errors: ErrNotHalted, ErrNoRepair, ErrWrongPosition, a *WouldLoseError, those
// of the bus.
func (s *Service) Repair(ctx context.Context, p int, o RepairOptions) (Moved, error) {
	i := slices.IndexFunc(s.Partitions(), func(st PartitionStatus) bool { return st.Partition == p && st.Halted != nil })
	if i < 0 {
		return Moved{}, repair.ErrNotHalted
	}
	moved, err := s.moveCursor(ctx, p, o)
	if err != nil {
		return moved, fmt.Errorf("partition %d: %w", p, err)
	}
	return moved, nil
}

func (s *Service) moveCursor(ctx context.Context, p int, o RepairOptions) (Moved, error) {
	log, err := s.readWhole(ctx, p)
	if err != nil {
		return Moved{}, err
	}
	end := log[len(log)-1].position
	if o.Accept && o.At != end {
		return Moved{}, fmt.Errorf("%w: %d was accepted, it ends at %d", repair.ErrWrongPosition, o.At, end)
	}
	moved, _, _, err := s.putBack(ctx, p, log, o)
	if err != nil || o.DryRun {
		return moved, err
	}
	if err := o.Begin(moved); err != nil {
		return moved, fmt.Errorf("nothing is done that is not written down: %w", err)
	}
	if s.Yield(p) { // it writes the cursor for the last time
		defer s.Hold(p)
	}
	moved, c, sequence, err := s.putBack(ctx, p, log, o)
	if err != nil {
		return moved, err
	}
	c.Epoch, c.Released, c.Holder, c.Node = c.GetEpoch()+1, true, s.id[:], s.config.Node
	_, err = s.deps.Cursors.SaveCursor(ctx, p, encodeCursor(c, nil), sequence)
	return moved, err
}

// putBack is the stored cursor put where the log has what it stood at.
func (s *Service) putBack(ctx context.Context, p int, log wholeLog, o RepairOptions) (moved Moved, c *cursorv1.Cursor, sequence uint64, err error) {
	end := log[len(log)-1]
	moved = Moved{Partition: p, To: end.position}
	data, sequence, err := s.deps.Cursors.LoadCursor(ctx, p)
	if err != nil {
		return moved, nil, 0, err
	}
	c, fault := decodeCursor(data, s.config.BatonID)
	if fault != nil {
		moved.What = fmt.Sprintf("the cursor cannot be read (%v) and begins anew at the end of the log; baton app rewind delivers earlier events again", fault)
		c = &cursorv1.Cursor{BatonId: s.config.BatonID[:], Read: encodeMark(&end)}
	} else {
		moved.From = control.Position(c.GetRead().GetPosition())
		log.rebase(c)
		moved.To = control.Position(c.GetRead().GetPosition())
		moved.What = fmt.Sprintf("the cursor goes from position %d to the record of the log at position %d", moved.From, moved.To)
	}
	if (fault != nil || moved.From > end.position) && !o.Accept {
		err = &repair.WouldLoseError{Partition: p, Position: end.position, What: moved.What}
	}
	return moved, c, sequence, err
}

// wholeLog are the places between the records of a partition's log.
type wholeLog []mark

// errWhole ends the reading of a log at its end.
var errWhole = errors.New("fanout: the log is read")

// readWhole reads a partition's log from its beginning to its end as it is now.
func (s *Service) readWhole(ctx context.Context, p int) (wholeLog, error) {
	log := wholeLog{{}}
	last, err := s.deps.Log.LastLog(ctx, p)
	if errors.Is(err, bus.ErrNoMessage) {
		return log, nil
	}
	if err != nil {
		return nil, err
	}
	err = s.deps.Log.ReadLog(ctx, bus.ReadOptions{Partitions: []int{p}}, func(m bus.Message) error {
		r, err := eventlog.Decode(m.Data)
		if err != nil {
			return fmt.Errorf("%w: record at sequence %d: %w", repair.ErrNoRepair, m.Sequence, err)
		}
		switch before := &log[len(log)-1]; {
		case r.Epoch < before.epoch: // skipped by every reader
		case r.First != before.position+1:
			return fmt.Errorf("%w: %w: sequence %d begins with position %d, want %d", repair.ErrNoRepair, ErrLogGap, m.Sequence, r.First, before.position+1)
		default:
			log = append(log, *markAfter(&r, m.Sequence))
		}
		if m.Sequence >= last.Sequence {
			return errWhole
		}
		return nil
	})
	if errors.Is(err, bus.ErrDamaged) {
		err = fmt.Errorf("%w: %w", repair.ErrNoRepair, err)
	}
	if !errors.Is(err, errWhole) {
		return nil, err
	}
	return log, nil
}

// at is the last place that is not behind a mark and of no later epoch: an epoch
// that the mark does not know began where the log went on without it.
func (l wholeLog) at(m *cursorv1.Mark) *cursorv1.Mark {
	best := &l[0]
	for i := range l {
		if uint64(l[i].position) > m.GetPosition() || l[i].epoch > m.GetLogEpoch() {
			break
		}
		best = &l[i]
	}
	return encodeMark(best)
}

// rebase puts every place of a cursor where the log has it. What an app has
// beyond where the cursor is put back is forgotten: it will be other events.
func (l wholeLog) rebase(c *cursorv1.Cursor) {
	before := c.GetRead().GetPosition()
	c.Read = l.at(c.GetRead())
	limit := ^uint64(0)
	if c.GetRead().GetPosition() < before {
		limit = c.GetRead().GetPosition()
	}
	for _, a := range c.GetApps() {
		a.Mark = l.at(a.GetMark())
		cut(a, limit)
	}
}

// cut forgets what an app has behind a position.
func cut(a *cursorv1.App, limit uint64) {
	behind := func(p uint64) bool { return p > limit }
	p := a.GetWatermark()
	for i, d := range a.GetUndelivered() {
		if p += d; p > limit {
			a.Undelivered = a.GetUndelivered()[:i]
			break
		}
	}
	a.Failing = slices.DeleteFunc(a.GetFailing(), func(f *cursorv1.Failure) bool { return behind(f.GetPosition()) })
	a.Resent = slices.DeleteFunc(a.GetResent(), behind)
	a.Watermark, a.Read = min(a.GetWatermark(), limit), min(a.GetRead(), limit)
	a.ReplayUntil = min(a.GetReplayUntil(), limit)
}
