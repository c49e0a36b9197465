package fanout

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// Observers are told what happens; each may be nil. They are called from many
// goroutines, some of them on the way of every delivery: they must be quick and
// must not call back.
type Observers struct {
	// Attempt is called after each POST.
	Attempt func(Attempt)
	// Finished is called once for each delivery, when it ends.
	Finished func(Finished)
	// Breaker is called when an app's breaker changes.
	Breaker func(app control.AppID, state BreakerState)
	// Handshake is called after each hub.challenge, with nil when it passed.
	Handshake func(app control.AppID, err error)
	// Fetched is called when a payload was not in the cache.
	Fetched func(partition int)
	// Saved is called after each save of a cursor.
	Saved func(partition int, took time.Duration, err error)
	// Claimed is called when this node took a partition's cursor over.
	Claimed func(partition int)
	// Deposed is called when another node took a partition over.
	Deposed func(partition int)
	// Halted is called when a partition's log cannot be followed any further.
	Halted func(partition int, err error)
	// Skipped is called for a record of an epoch below the highest one read.
	Skipped func(partition int, position control.Position)
}

// Attempt is one POST.
type Attempt struct {
	App     control.AppID
	Channel control.Channel
	Events  int
	// Answer is the class of its end: taken, failed, busy, timeout,
	// unreachable, broken, rejected, gone, cancelled.
	Answer string
	// Failure is the step that failed; none for what was taken.
	Failure egress.Class
	Status  int // 0 without an answer
	Took    time.Duration
}

// Finished is the end of one delivery.
type Finished struct {
	App       control.AppID
	Partition int
	Position  control.Position
	Thread    control.ThreadKey
	Channel   control.Channel
	Outcome   Outcome
	Attempts  int
	// Since is the time since the event was decided.
	Since time.Duration
}

func (o *Observers) attempt(a Attempt) {
	if o.Attempt != nil {
		o.Attempt(a)
	}
}

func (o *Observers) finished(f Finished) {
	if o.Finished != nil {
		o.Finished(f)
	}
}

func (o *Observers) breaker(app control.AppID, state BreakerState) {
	if o.Breaker != nil {
		o.Breaker(app, state)
	}
}

func (o *Observers) handshake(app control.AppID, err error) {
	if o.Handshake != nil {
		o.Handshake(app, err)
	}
}

func (o *Observers) fetched(partition int) {
	if o.Fetched != nil {
		o.Fetched(partition)
	}
}

func (o *Observers) saved(partition int, took time.Duration, err error) {
	if o.Saved != nil {
		o.Saved(partition, took, err)
	}
}

func (o *Observers) claimed(partition int) {
	if o.Claimed != nil {
		o.Claimed(partition)
	}
}

func (o *Observers) deposed(partition int) {
	if o.Deposed != nil {
		o.Deposed(partition)
	}
}

func (o *Observers) halted(partition int, err error) {
	if o.Halted != nil {
		o.Halted(partition, err)
	}
}

func (o *Observers) skipped(partition int, position control.Position) {
	if o.Skipped != nil {
		o.Skipped(partition, position)
	}
}
