package ownership

import "github.com/baton-router/baton/pkg/control"

// Status is the state of one partition on this node.
type Status struct {
	Partition     int
	Held          bool
	Epoch         uint64
	Position      control.Position
	Input         uint64
	RosterVersion uint64
	Threads       int
	// Halted says why the partition takes no work, in words, and Damage what
	// the matter is; empty when it does.
	Halted string
	Damage Damage
	// TimersStopped: the clock is doubtful.
	TimersStopped bool
	// Skipped counts the records of ended epochs that were found in the log:
	// the fence did not hold. The partition works.
	Skipped uint64
}

// publishStatus says how the partition stands, held or not.
func (h *holder) publishStatus(held bool) {
	st := &Status{
		Partition: h.partition, Held: held, Epoch: h.epoch, Position: h.applied.Position, Input: h.consumed,
		RosterVersion: h.applied.RosterVersion, TimersStopped: held && h.time.doubtful(),
	}
	if held {
		st.Threads = h.threads.len()
	}
	h.current.Store(st)
}

func (h *holder) status() Status {
	st := *h.current.Load()
	if st.Held {
		st.Input = max(st.Input, h.decidedTo.Load())
	} else {
		a := h.part.Applied()
		st.Epoch, st.Position, st.Input, st.RosterVersion = a.Epoch, a.Position, a.Input, a.RosterVersion
	}
	st.Skipped = h.skipped.Load()
	if halted := h.halted.Load(); halted != nil {
		st.Halted, st.Damage = halted.reason, halted.damage
	}
	return st
}

func (h *holder) setHalted(why haltError) {
	h.halted.Store(&why)
	h.deps.Observe.halted(h.partition, why.reason)
	h.log.Error("partition halted", "damage", string(why.damage), "reason", why.reason)
}
