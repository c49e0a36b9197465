package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/repair"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/ownership"
)

// wayMoveCursor is a repair of a partition's deliveries.
const wayMoveCursor = "move-cursor"

// repairing is one request to repair what is halted on this node.
type repairing struct {
	*node
	who    string
	req    *adminv1.RepairRequest
	accept map[int]control.Position
	resp   *adminv1.RepairResponse
	begun  []*adminv1.RepairStep // of the repair under way, as written down
}

// repair takes halted partitions back to work, one after the other; the error
// says that none could be looked at.
func (n *node) repair(ctx context.Context, who string, req *adminv1.RepairRequest) (*adminv1.RepairResponse, error) {
	ctx = context.WithoutCancel(ctx) // half a repair helps nobody
	r := &repairing{node: n, who: who, req: req, accept: map[int]control.Position{}, resp: &adminv1.RepairResponse{}}
	for _, a := range req.GetAccept() {
		r.accept[int(a.GetPartition())] = control.Position(a.GetPosition())
	}
	for _, p := range r.halted() {
		before := len(r.resp.GetSteps())
		if n.ownership != nil {
			if err := r.ownership(ctx, p); err != nil {
				return nil, err
			}
		}
		if req.GetDryRun() && len(r.resp.GetSteps()) > before {
			continue // what the cursor needs shows once the log is whole
		}
		if n.fanout != nil && !r.isLeft(p) {
			if err := r.deliveries(ctx, p); err != nil {
				return nil, err
			}
		}
	}
	return r.resp, nil
}

// halted lists the partitions concerned that are halted here.
func (r *repairing) halted() (list []int) {
	for _, st := range r.statuses() {
		if st.Halted != "" {
			list = append(list, st.Partition)
		}
	}
	if r.fanout != nil {
		list = append(list, r.fanout.Unable()...)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(p int) bool {
		return len(r.req.GetPartitions()) > 0 && !slices.Contains(r.req.GetPartitions(), uint32(p))
	})
}

func (r *repairing) isLeft(p int) bool {
	return slices.ContainsFunc(r.resp.GetLeft(), func(u *adminv1.Unrepaired) bool { return u.GetPartition() == uint32(p) })
}

// begin writes a step down before it is done.
func (r *repairing) begin(step *adminv1.RepairStep) error {
	r.begun = append(r.begun, step)
	r.log.Warn("repair", "partition", step.GetPartition(), "way", step.GetWay(), "what", step.GetWhat(), "who", r.who)
	return r.repairs.write(r.who, step, repairBegun)
}

// ownership repairs the log, store and input of a partition.
func (r *repairing) ownership(ctx context.Context, p int) error {
	at, accepted := r.accept[p]
	steps, err := r.node.ownership.Repair(ctx, p, ownership.RepairOptions{
		DryRun: r.req.GetDryRun(), Accept: accepted, At: at, Input: r.bus, Export: r.repairs.export,
		Begin: func(s ownership.Step) error { return r.begin(stepOf(s)) },
	})
	if err == nil && !r.req.GetDryRun() {
		r.health.Clear("store") // set again if there is more
	}
	for _, s := range steps {
		r.resp.Steps = append(r.resp.Steps, stepOf(s))
	}
	if errors.Is(err, repair.ErrNotHalted) {
		return nil
	}
	left := &adminv1.Unrepaired{Partition: uint32(p)}
	if loss, ok := errors.AsType[*repair.WouldLoseError](err); ok {
		left.Acceptable, left.Position = true, uint64(loss.Position)
	}
	return r.settle(err, left, len(steps), errors.Is(err, repair.ErrWrongPosition))
}

func stepOf(s ownership.Step) *adminv1.RepairStep {
	return &adminv1.RepairStep{
		Partition: int32(s.Partition), Damage: string(s.Damage), Way: s.Way, From: uint64(s.From), To: uint64(s.To), What: s.What,
	}
}

// deliveries repairs the cursor of a partition.
func (r *repairing) deliveries(ctx context.Context, p int) error {
	step := func(m fanout.Moved) *adminv1.RepairStep {
		return &adminv1.RepairStep{
			Partition: int32(p), Damage: "cursor", Way: wayMoveCursor, From: uint64(m.From), To: uint64(m.To), What: m.What,
		}
	}
	at, accepted := r.accept[p]
	moved, err := r.fanout.Repair(ctx, p, fanout.RepairOptions{
		DryRun: r.req.GetDryRun(), Accept: accepted, At: at,
		Begin: func(m fanout.Moved) error { return r.begin(step(m)) },
	})
	if errors.Is(err, repair.ErrNotHalted) {
		return nil
	}
	done := 0
	if err == nil {
		done = 1
		r.resp.Steps = append(r.resp.Steps, step(moved))
	}
	left := &adminv1.Unrepaired{Partition: uint32(p)}
	if loss, ok := errors.AsType[*repair.WouldLoseError](err); ok {
		left.Acceptable, left.Position = true, uint64(loss.Position)
	}
	return r.settle(err, left, done, errors.Is(err, repair.ErrWrongPosition))
}

// settle writes down what became of the steps that were begun, of which the
// first so many were done. The error is that a position was accepted that is not
// the log's end.
func (r *repairing) settle(err error, left *adminv1.Unrepaired, done int, wrong bool) error {
	if err != nil {
		left.Why = err.Error()
		r.resp.Left = append(r.resp.Left, left)
	}
	begun := r.begun
	r.begun = nil
	for i, step := range begun {
		outcome := repairDone
		if i >= done {
			outcome = fmt.Sprint(err)
		}
		if fault := r.repairs.write(r.who, step, outcome); fault != nil {
			return fault
		}
	}
	if wrong {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return nil
}

// wayOutOf is what an operator can do about a halted partition.
func wayOutOf(d ownership.Damage) string {
	switch d {
	case ownership.DamageVersion:
		return "start the Baton that wrote the record, or a newer one; nothing is damaged"
	case ownership.DamageRecord:
		return ownership.WayOutOfRecord
	case ownership.DamageForeign:
		return "restore the streams that the store belongs to, or stop the node and run baton doctor --repair --config FILE --move-store, which moves the store aside and rebuilds it"
	case ownership.DamageStore, ownership.DamageShort, ownership.DamageFork, ownership.DamageChain, ownership.DamageInput, ownership.DamageTopic:
		return "baton doctor --repair --dry-run says what a repair would do, baton doctor --repair does what loses nothing"
	}
	return "baton log verify says where store and log differ"
}

// examineRepairs adds the journal of repairs.
func (n *node) examineRepairs(e *examination) {
	notes, err := n.repairs.read()
	if err != nil {
		e.find(problem, "repairs", advice{err.Error(), "what was repaired here cannot be shown", "look at repairs/journal.jsonl in the data directory"})
	}
	e.repairs = notes
	open := map[string]*adminv1.RepairNote{}
	for _, line := range notes {
		key := fmt.Sprint(line.GetStep().GetPartition(), line.GetStep().GetWay())
		if line.GetOutcome() == repairBegun {
			open[key] = line
		} else {
			delete(open, key)
		}
	}
	for _, begun := range open {
		e.find(note, fmt.Sprintf("partition %d", begun.GetStep().GetPartition()), advice{
			"its repair of " + begun.GetAt() + " was begun and did not end: " + begun.GetStep().GetWhat(), "a step may have been done in part",
			"when the partition is halted, repair it again: each step may be repeated",
		})
	}
}
