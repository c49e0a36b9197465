package bus

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
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
type answerSlot chan *commandv1.Response

func (a answerSlot) put(answer *commandv1.Response) {
	select {
	case a <- answer:
	default: // answered before
	}
}

// Ask sends a command to the holder of partition p and returns its answer,
// which belongs to the caller. It blocks until the answer, for within at most,
// or until ctx ends. A holder that this Conn serves is asked without the server,
// and without encoding, when no other process can hold a partition. The holder
// may read the request after Ask has returned: it must never change again.
// Errors: ErrNoHolder when nobody serves the partition (nothing was decided),
// ErrNoAnswer when no answer came in time (the command may have been decided),
// ErrTooLarge, ErrUnavailable (not sent), ErrInvalid.
func (c *Conn) Ask(ctx context.Context, p int, request *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	if err := c.check(p); err != nil {
		return nil, err
	}
	var answer *commandv1.Response
	var err error
	if holder := c.served.of(p); holder != nil && c.sole {
		answer, err = c.askHere(ctx, holder, request, within)
	} else {
		answer, err = c.askFar(ctx, p, request, within)
	}
	if err != nil {
		return nil, fmt.Errorf("ask partition %d: %w", p, askError(err))
	}
	return answer, nil
}

func (c *Conn) askFar(ctx context.Context, p int, request *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	reply, err := c.work.request(ctx, &nats.Msg{Subject: at(subjectCommand, p), Data: data})
	if err != nil {
		return nil, err
	}
	answer := new(commandv1.Response)
	if err := proto.Unmarshal(reply.Data, answer); err != nil {
		return nil, fmt.Errorf("%w: it is unreadable: %w", ErrNoAnswer, err)
	}
	return answer, nil
}

//nolint:gochecknoglobals // free timers, stopped
var timers = sync.Pool{New: func() any { return time.NewTimer(0) }}

// askHere asks a holder in this process. Its errors are those of a request over
// the server.
func (c *Conn) askHere(ctx context.Context, holder *servant, request *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !plainlySmall(request) && int64(proto.Size(request)) > c.work.largest {
		return nil, nats.ErrMaxPayload
	}
	answer := make(answerSlot, 1)
	if !holder.take(CommandCall{request: request, answer: answer}) {
		return nil, nats.ErrNoResponders
	}
	patience, _ := timers.Get().(*time.Timer)
	patience.Reset(within)
	defer func() { patience.Stop(); timers.Put(patience) }()
	select {
	case answer := <-answer:
		return answer, nil
	case <-c.closed:
		return nil, nats.ErrConnectionClosed
	case <-patience.C:
		return nil, nats.ErrTimeout
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// plainlySmall reports whether a request is far below the limit of any server, for
// those calls of which that is quicker to say than how large they are.
func plainlySmall(r *commandv1.Request) bool {
	var metadata string
	switch verb := r.GetVerb().(type) {
	case *commandv1.Request_Pass:
		metadata = verb.Pass.GetMetadata()
	case *commandv1.Request_Take:
		metadata = verb.Take.GetMetadata()
	case *commandv1.Request_Release:
		metadata = verb.Release.GetMetadata()
	default:
		return false
	}
	return len(metadata)+len(r.GetId())+len(r.GetIdempotencyKey())+len(r.GetTrace()) < 4096
}
