package bus

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
)

// served are the partitions whose commands this Conn serves.
type served struct {
	sync.Mutex
	by map[int]*servant
}

// servant hands the commands of one partition to their handler, one after the
// other, until it is stopped.
type servant struct {
	mu      sync.Mutex // held while handle runs
	stopped bool
	handle  func(CommandCall)
}

// take reports whether the command was handed on.
func (s *servant) take(c CommandCall) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.handle(c)
	}
	return !s.stopped
}

func (s *servant) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (v *served) put(p int, s *servant) {
	v.Lock()
	defer v.Unlock()
	if v.by == nil {
		v.by = map[int]*servant{}
	}
	v.by[p] = s
}

func (v *served) remove(p int, s *servant) {
	v.Lock()
	defer v.Unlock()
	if v.by[p] == s {
		delete(v.by, p)
	}
}

func (v *served) of(p int) *servant {
	v.Lock()
	defer v.Unlock()
	return v.by[p]
}

// answerSlot takes the one answer to a command of this process.
type answerSlot chan []byte

func (a answerSlot) Respond(data []byte) error {
	select {
	case a <- data:
	default: // answered before
	}
	return nil
}

// Ask sends a command to the holder of partition p and returns its answer,
// which belongs to the caller. It blocks until the answer, or until ctx ends. A
// holder that this Conn serves is asked without the server when no other
// process can hold a partition. data must not change before the answer.
// Errors: ErrNoHolder when nobody serves the partition (nothing was decided),
// ErrNoAnswer when no answer came in time (the command may have been decided),
// ErrTooLarge, ErrUnavailable (not sent), ErrInvalid.
func (c *Conn) Ask(ctx context.Context, p int, data []byte) ([]byte, error) {
	if err := c.check(p); err != nil {
		return nil, err
	}
	ask := c.askFar
	if holder := c.served.of(p); holder != nil && c.sole {
		ask = func(ctx context.Context, p int, data []byte) ([]byte, error) { return c.askHere(ctx, holder, data) }
	}
	answer, err := ask(ctx, p, data)
	if err != nil {
		return nil, fmt.Errorf("ask partition %d: %w", p, askError(err))
	}
	return answer, nil
}

func (c *Conn) askFar(ctx context.Context, p int, data []byte) ([]byte, error) {
	reply, err := c.work.request(ctx, &nats.Msg{Subject: at(subjectCommand, p), Data: data})
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}

// askHere asks a holder in this process. Its errors are those of a request over
// the server.
func (c *Conn) askHere(ctx context.Context, holder *servant, data []byte) ([]byte, error) {
	if int64(len(data)) > c.work.MaxPayload() {
		return nil, nats.ErrMaxPayload
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer := make(answerSlot, 1)
	if !holder.take(CommandCall{Data: data, from: answer}) {
		return nil, nats.ErrNoResponders
	}
	select {
	case data := <-answer:
		return data, nil
	case <-c.closed:
		return nil, nats.ErrConnectionClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
