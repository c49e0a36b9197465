package graphapi

import (
	"sync/atomic"
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// unknownEpoch is that of no tenure: whoever is asked for it names its own.
const unknownEpoch = ^uint64(0)

// clockFor is how long a tenure's clock is believed to run like ours. Two
// clocks differ by some 50 µs in a second.
const clockFor = 10 * time.Second

// tenure is what is known of a partition's holder: its epoch, and that its clock
// showed now at the latest when its answer came.
type tenure struct {
	epoch uint64
	now   int64 // milliseconds
	came  time.Time
}

// tenures are the highest that answered for each partition: an answer of a lower
// epoch comes from a holder that was deposed.
type tenures struct{ highest []atomic.Pointer[tenure] }

func newTenures(partitions int) *tenures { return &tenures{make([]atomic.Pointer[tenure], partitions)} }

// current reports whether an answer counts, and remembers whose it is.
func (t *tenures) current(partition int, a *commandv1.Response) bool {
	for {
		seen := t.highest[partition].Load()
		switch {
		case seen == nil:
		case a.GetEpoch() < seen.epoch:
			return false
		case a.GetEpoch() == seen.epoch && a.GetStatus() != commandv1.Status_STATUS_UNAVAILABLE && time.Since(seen.came) < clockFor:
			return true
		}
		if t.highest[partition].CompareAndSwap(seen, &tenure{a.GetEpoch(), a.GetNowMs(), time.Now()}) {
			return true
		}
	}
}

// of is the highest that answered.
func (t *tenures) of(partition int) tenure {
	if seen := t.highest[partition].Load(); seen != nil && seen.epoch > 0 {
		return *seen
	}
	return tenure{epoch: unknownEpoch, came: time.Now()}
}

// address makes a question one for the tenure that is known, until a deadline
// that is put in its clock: a copy that comes later is decided by nobody.
func (t *tenures) address(q *commandv1.Request, partition int, deadline time.Time) {
	q.BudgetMs = max(1, time.Until(deadline).Milliseconds())
	known := t.of(partition)
	q.Epoch, q.DeadlineMs = known.epoch, known.now+deadline.Sub(known.came).Milliseconds()
}
