package ownership

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

// holder holds one partition. All fields but status are owned by the goroutine
// of run; others reach it through its channels.
type holder struct {
	*Service
	partition int
	log       *slog.Logger
	part      *store.Partition

	wish     *wish
	commands chan call
	intake   intake
	inputs   chan bus.Message // of the present tenure
	asides   chan aside       // outcomes of effects, from this node
	faults   chan error       // the input cannot be read on

	epoch    uint64
	sequence uint64 // of the last record of this partition on BATON_LOG
	trusted  trust  // that it is there
	foreseen foresight
	wrote    written
	applied  store.Applied
	time     partitionClock
	snapshot *roster.Snapshot
	threads  *threads // nil until they are loaded

	consumed   uint64 // last BATON_IN sequence decided, logged or not
	unread     inboundRest
	unreadable uint64          // the inbound message that halted the partition; 0 for none
	givenUp    uint64          // one whose loss was accepted
	publishing context.Context //nolint:containedctx // of this tenure's records
	spare      *step           // a finished one, for its memory
	raw        []byte          // memory for the next record's encoding
	staging    eventlog.Record // of project, used again
	keys       [][16]byte      // of seenEarlier, used again
	earlier    []bool          // likewise
	dueAt      control.Millis  // when to look for due timers; 0 = no timer armed
	due        []store.Timer
	bell       *time.Timer    // of alarm, used again
	dueFound   control.Millis // when due were found due
	dueNeeds   uint64         // BATON_IN sequence to consume before deciding due
	sweeping   []control.ThreadKey
	sweepTurn  int
	refusals   refusalLog
	copies     copies                       // of this tenure
	waiting    map[control.ThreadKey][]call // sends that wait for the platform's side
	ready      []call                       // parked calls whose wait is over
	parked     int                          // calls in waiting
	busy       map[busyKey]busyState        // effects queued or under way
	todo       []effectJob                  // effects waiting for a worker
	delayed    delayedJobs                  // effects whose time has not come

	// folding guards part, applied and threads while no tenure owns them.
	folding  lifecycle.Lock
	tenured  bool                                    // a tenure owns them
	counted  bool                                    // the threads' owners are in the gauges
	replayed int                                     // records of others applied
	passed   uint64                                  // last sequence that the standby has come by
	depose   atomic.Pointer[context.CancelCauseFunc] // ends the tenure
	behind   atomic.Uint64                           // BATON_LOG sequence to reach before a claim would be quick

	current   atomic.Pointer[Status]
	halted    atomic.Pointer[haltError]
	mended    chan struct{} // signalled when it is halted no more
	doubts    inputDoubts
	refilled  bool // the inbound stream was repaired; until the next claim it is not judged
	repairing atomic.Bool
	decidedTo atomic.Uint64 // input decided for good, logged or without an event
	skipped   atomic.Uint64 // records of ended epochs found at claims
}

func newHolder(s *Service, p int) (*holder, error) {
	part, damage := s.deps.Store.Partition(p)
	if part == nil {
		return nil, damage
	}
	h := &holder{
		Service: s, partition: p,
		log:      s.deps.Logger.With("partition", p),
		part:     part,
		wish:     newWish(),
		commands: make(chan call, s.cfg.QueueCommands),
		asides:   make(chan aside, 256),
		faults:   make(chan error, 1),
		waiting:  map[control.ThreadKey][]call{},
		busy:     map[busyKey]busyState{},
		refusals: newRefusalLog(),
		folding:  lifecycle.NewLock(),
		mended:   make(chan struct{}, 1),
	}
	if halted, ok := asHalt(damage); ok {
		h.setHalted(halted)
	}
	h.current.Store(&Status{Partition: p})
	h.behind.Store(unknown)
	if s.cfg.Standby {
		h.intake.pass(unknown)
	}
	return h, nil
}

// run holds the partition whenever that is wished for, until ctx ends.
func (h *holder) run(ctx context.Context) error {
	h.wish.follow(ctx, h.tenures, h.stayNear)
	return nil
}

// stayNear compares the store with the log and applies what the standby's reader has
// passed while a tenure had the state, and the tenure has not: it may have ended
// before it had done either. It repeats what cannot be told yet until the partition is
// to be held again.
func (h *holder) stayNear(ctx context.Context) {
	for ctx.Err() == nil && !h.wish.wanted() {
		err := h.sameHistory(ctx)
		if err == nil {
			err = h.CatchUp(ctx, h.partition)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		h.lost(err)
		if h.halted.Load() != nil {
			return
		}
		_ = pause(ctx, standbyRetry) // the end of ctx ends the loop
	}
}

// tenures claims the partition and decides until ctx ends. Deposed, it claims
// again; halted, it waits until it is repaired.
func (h *holder) tenures(ctx context.Context) {
	var claims spacing
	for ctx.Err() == nil {
		if h.halted.Load() != nil {
			select {
			case <-ctx.Done():
			case <-h.mended:
			}
			continue
		}
		began := time.Now()
		err := h.tenure(ctx)
		halted, halts := asHalt(err)
		switch {
		case ctx.Err() != nil:
			return
		case halts:
			h.setHalted(halted)
			if halted.damage == DamageShort { // the standby's reader may wait behind what is lost
				h.shrunk.Store(true)
			}
			continue
		case errors.Is(err, errDeposed):
			h.deps.Observe.fenced(h.partition)
			h.log.Warn("deposed, claiming again", "epoch", h.epoch)
		case errors.Is(err, errOutrun), errors.Is(err, errInputLost):
			h.log.Info("claiming again", "why", err)
		case err != nil:
			h.log.Error("partition stopped, claiming again", "err", err)
		}
		if pause(ctx, claims.after(err, time.Since(began))) != nil {
			return
		}
	}
}

// tenure is hold, as the only one that touches the partition's state.
func (h *holder) tenure(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	h.folding.Lock()
	h.tenured = true
	h.folding.Unlock()
	h.depose.Store(&end)
	defer func() {
		h.depose.Store(nil)
		h.folding.Lock()
		defer h.folding.Unlock()
		h.reset()
		h.tenured = false
	}()
	err := h.hold(ctx)
	if cause := context.Cause(ctx); silences(cause) {
		return cause
	}
	return err
}

// silences reports whether a tenure that ends for this cause answers nobody any
// more: another holder has written, or the log has lost what was promised.
func silences(cause error) bool {
	_, halts := asHalt(cause)
	return halts || errors.Is(cause, errDeposed)
}

// hold claims, serves and decides.
func (h *holder) hold(ctx context.Context) (err error) {
	began := time.Now()
	if err := h.claim(ctx); err != nil {
		return err
	}
	h.takeOver()
	if err := h.openRoster(ctx); err != nil {
		return err
	}
	h.topic.claimed(h.partition, h.epoch)
	defer h.topic.left(h.partition, h.epoch)
	defer h.takeInput(ctx, h.applied.Input)()
	stop, err := h.deps.Commands.ServeCommands(h.partition, h.accept)
	if err != nil {
		return err
	}
	defer func() { h.dismiss(errors.Is(err, errDeposed) || silences(context.Cause(ctx))) }()
	defer stop()
	h.publishStatus(true)
	defer h.publishStatus(false)
	h.deps.Observe.holding(h.partition)
	h.deps.Observe.stepped(h.partition)
	h.log.Debug("holding partition", "took", time.Since(began), "epoch", h.epoch, "position", h.applied.Position)
	return h.loop(ctx)
}

// state is a thread as it was applied.
func (h *holder) state(key control.ThreadKey) control.State {
	t, _ := h.threads.get(key)
	return t.state
}

// reset forgets what belongs to a tenure. The threads stay: they are as the
// store is.
func (h *holder) reset() {
	if h.counted {
		h.countOwners(-1)
	}
	h.counted = false
	h.due, h.sweeping, h.dueAt, h.dueNeeds = nil, nil, 0, 0
	h.unread = inboundRest{}
	h.ready, h.parked, h.copies = nil, 0, copies{}
	clear(h.waiting)
	h.dropEffects()
}

// loop gathers what waits, decides it in one step and commits it, until ctx
// ends.
func (h *holder) loop(ctx context.Context) error {
	h.consumed = h.applied.Input
	h.decidedTo.Store(h.consumed)
	// A record under way is finished even while the node stops: its outcome
	// must be known before its callers are told anything.
	var done context.CancelFunc
	h.publishing, done = finishing(ctx)
	defer done()
	for {
		s := h.newStep()
		if err := h.gather(ctx, s); err != nil {
			return err
		}
		if err := h.finish(ctx, s); err != nil {
			s.abandon()
			return err
		}
		h.deps.Observe.stepped(h.partition)
		s.reuse()
	}
}

// gather waits for work and takes all that waits, within a record's bounds.
func (h *holder) gather(ctx context.Context, s *step) error {
	if err := ctx.Err(); err != nil {
		return err // also while there is always work: the tenure is over
	}
	select {
	case err := <-h.faults:
		return halt(DamageInput, "%v", err)
	default:
	}
	w := h.wakes() // before anything is looked at: what comes later wakes
	h.refreshRoster(s)
	h.expireWaiting()
	h.offerEffects()
	if len(s.entries) > 0 {
		return nil // a new roster is logged by itself
	}
	if !h.takeWaiting(ctx, s) {
		if err := h.await(ctx, s, w); err != nil {
			return err
		}
	}
	for !s.full() && h.takeWaiting(ctx, s) {
	}
	return nil
}

// takeWaiting takes one round of what waits without blocking and reports
// whether there was anything.
func (h *holder) takeWaiting(ctx context.Context, s *step) bool {
	took := h.unread.left()
	if took {
		h.decideRest(s)
	}
	for len(h.ready) > 0 && !s.full() {
		h.decideCall(ctx, s, h.ready[0])
		h.ready = h.ready[1:]
		took = true
	}
	select {
	case a := <-h.asides:
		h.decideAside(s, a)
		took = true
	default:
	}
	select {
	case c := <-h.commands:
		h.decideCall(ctx, s, c)
		took = true
	default:
	}
	if !h.unread.left() && !s.full() {
		select {
		case m := <-h.inputs:
			h.decideInput(s, m)
			took = true
		default:
		}
	}
	return h.decideDue(ctx, s) || h.decideSweep(s) || took
}

// wakes are what wakes a waiting holder beside its queues.
type wakes struct{ roster, clock <-chan struct{} }

func (h *holder) wakes() wakes {
	return wakes{h.deps.Rosters.Changed(), h.deps.Clock.Jumped()}
}

// await blocks until something is there to decide, and brings the step's time
// up to that moment.
func (h *holder) await(ctx context.Context, s *step, w wakes) error {
	wake := h.alarm()
	defer wake.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-h.faults:
		return halt(DamageInput, "%v", err)
	case a := <-h.asides:
		s.now = h.time.now()
		h.decideAside(s, a)
	case c := <-h.commands:
		s.now = h.time.now()
		h.decideCall(ctx, s, c)
	case m := <-h.inputs:
		s.now = h.time.now()
		h.decideInput(s, m)
	case <-w.roster:
	case <-w.clock:
		s.now = h.time.now()
	case <-wake.C:
		if h.time.unknown() {
			h.compareClock(ctx)
		}
		s.now = h.time.now()
	}
	return nil
}
