package graphapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
)

// errNoAnswer: no holder answered in time. Whether one decided is not known.
var errNoAnswer = errors.New("graphapi: no holder answered in time")

// ask puts a question to the holder of its thread until it is answered for
// good or the time is over. Every attempt carries the same command id, so the
// holder decides once, and names the tenure that may decide it. The error is
// errNoAnswer, or ctx's.
func (s *Service) ask(ctx context.Context, q *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	deadline := time.Now().Add(within)
	p := partition.Of(control.ThreadKey{Asset: q.GetAsset(), Person: q.GetPerson()}, s.config.Partitions)
	for attempt := 0; ; {
		s.tenures.address(q, p, deadline)
		answer, err := s.attempt(ctx, p, q, min(time.Until(deadline), patience(s.config.AttemptWithin, attempt)))
		if err == nil {
			return answer, nil
		}
		again := proto.CloneOf(q) // a holder may still read the one before
		again.Attempt++
		moved := s.tenures.of(p).epoch != q.GetEpoch()
		if q = again; moved && ctx.Err() == nil && time.Until(deadline) > 0 {
			continue // another tenure than the one that was asked
		}
		if !pause(ctx, min(time.Until(deadline), backoff(attempt))) || time.Until(deadline) <= 0 {
			s.logger.Warn("no answer from the holder", "partition", p, "err", err)
			return nil, fmt.Errorf("%w: partition %d: %w", errNoAnswer, p, err)
		}
		attempt++
	}
}

// patience is how long an attempt waits: the first a quarter, the second half of
// what the others do. A question that is lost while its partition moves is
// repeated soon; a holder that is slow is asked only once more than it was.
func patience(most time.Duration, attempt int) time.Duration { return most >> max(0, 2-attempt) }

// attempt asks once. The error says why the answer, if any, does not count.
func (s *Service) attempt(ctx context.Context, p int, q *commandv1.Request, within time.Duration) (*commandv1.Response, error) {
	answer, err := s.deps.Holder.Ask(ctx, p, q, within)
	if err != nil {
		return nil, err
	}
	if !s.tenures.current(p, answer) {
		return nil, fmt.Errorf("the answer is of epoch %d, which is over", answer.GetEpoch())
	}
	switch answer.GetStatus() {
	case commandv1.Status_STATUS_UNAVAILABLE, commandv1.Status_STATUS_UNKNOWN, commandv1.Status_STATUS_UNSPECIFIED:
		return nil, fmt.Errorf("%s: %s", answer.GetStatus(), answer.GetDetail())
	default:
		return answer, nil
	}
}

// backoff grows from 20 ms to 320 ms, with jitter, so that callers of a
// partition that is moving do not knock all at once. A move takes about a tenth
// of a second: the steps stay small for as long.
func backoff(attempt int) time.Duration {
	step := 20 * time.Millisecond << min(attempt/2, 4)
	return step/2 + rand.N(step) //nolint:gosec // jitter, no secret
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
