package ownership

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

const (
	// inputQueue bounds the inbound messages that wait for a holder.
	inputQueue = 16
	// offerPatience is how long the shared reader waits for a holder whose
	// queue is full before it goes on without it.
	offerPatience = 100 * time.Millisecond
)

// intake is where the shared reader of the input meets the holder of one
// partition. A partition that cannot take input (queue full, halted, not yet
// claimed) leaves the shared reader and holds up no other; the next tenure, or
// the same one when it has room again, catches up with a reader of its own and
// joins again. So what a tenure took and did not decide is read once more.
type intake struct {
	mu struct {
		sync.Mutex
		// offered is the last sequence of the partition that the shared reader
		// has come by.
		offered uint64
		// joined is the tenure that takes from the shared reader; nil for none.
		joined *tenure
	}
}

// tenure is the input of one tenure of a holder.
type tenure struct {
	queue chan bus.Message
	// left carries the sequence after which the tenure reads by itself.
	left chan uint64
}

func newTenure() *tenure {
	return &tenure{queue: make(chan bus.Message, inputQueue), left: make(chan uint64, 1)}
}

// offer is called by the shared reader with each message of the partition. It
// blocks for offerPatience at most; the error is ctx's.
func (i *intake) offer(ctx context.Context, m bus.Message) error {
	t := i.come(m.Sequence)
	if t == nil {
		return nil
	}
	select {
	case t.queue <- m:
		return nil
	default:
	}
	patience := time.NewTimer(offerPatience)
	defer patience.Stop()
	select {
	case t.queue <- m:
	case <-ctx.Done():
		return ctx.Err()
	case <-patience.C:
		i.leave(t)
		t.left <- m.Sequence - 1
	}
	return nil
}

// pass notes that the shared reader begins behind a sequence. Until then nobody
// may join it: it would pass over what lies before.
func (i *intake) pass(sequence uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.offered = sequence
}

func (i *intake) come(sequence uint64) *tenure {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.offered = sequence
	return i.mu.joined
}

// join makes t take from the shared reader, if t has everything that the shared
// reader has come by.
func (i *intake) join(t *tenure, has uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.offered > has {
		return false
	}
	i.mu.joined = t
	return true
}

func (i *intake) leave(t *tenure) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mu.joined == t {
		i.mu.joined = nil
	}
}

// takeInput starts the input of a tenure after the input position. The tenure
// must call stop, which waits for what was started.
func (h *holder) takeInput(ctx context.Context, after uint64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	t, done := newTenure(), make(chan struct{})
	h.inputs = t.queue
	go func() {
		defer close(done)
		h.feed(ctx, t, after)
	}()
	return func() {
		h.intake.leave(t)
		cancel()
		<-done
	}
}

// feed keeps the tenure on the shared reader, and reads for it while it is not.
func (h *holder) feed(ctx context.Context, t *tenure, after uint64) {
	for {
		if !h.intake.join(t, after) {
			if err := h.readAlone(ctx, t, &after); ctx.Err() != nil {
				return
			} else if errors.Is(err, bus.ErrDamaged) {
				h.fault(err)
				return
			} else if !errors.Is(err, errJoined) {
				h.log.Warn("catching up with the input", "err", err)
				if pause(ctx, repeatDelay) != nil {
					return
				}
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case after = <-t.left:
		}
	}
}

// errJoined ends a reader of a tenure that has caught up.
var errJoined = errors.New("ownership: the partition is on the shared reader again")

// readAlone reads the partition's input after a sequence until the tenure is on
// the shared reader again.
func (h *holder) readAlone(ctx context.Context, t *tenure, after *uint64) error {
	h.deps.Observe.aside(h.partition)
	o := bus.ReadOptions{Partitions: []int{h.partition}, After: *after}
	return h.deps.Input.ReadInbound(ctx, o, func(m bus.Message) error {
		h.witness.see(m)
		select {
		case t.queue <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
		if *after = m.Sequence; h.intake.join(t, m.Sequence) {
			return errJoined
		}
		return nil
	})
}
