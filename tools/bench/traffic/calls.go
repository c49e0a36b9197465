package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/baton-router/baton/tools/bench/wire"
)

// Step is one call of a control change; its body is Before, the person's id and
// After.
type Step struct{ Target, Before, After string }

// CallSpec says how apps change control: on every thread the steps one after
// the other, on odd threads Extra as well.
type CallSpec struct {
	Host           string
	Threads, Conns int
	// Times the steps are done on each thread; For ends the calls earlier,
	// after a thread's last step; 0 for not.
	Times int
	For   time.Duration
	Steps []Step
	Extra *Step
}

// CallResult is what the callers have seen. Every call succeeded.
type CallResult struct {
	Calls   uint64
	Took    time.Duration
	Latency Latency
}

// Call changes control and returns when every call is answered.
func Call(ctx context.Context, s CallSpec) (CallResult, error) {
	clients, err := dial(ctx, s.Host, s.Conns)
	defer closeAll(clients)
	if err != nil {
		return CallResult{}, err
	}
	histograms := make([]histogram, s.Conns)
	faults := make([]error, s.Conns)
	began := time.Now()
	var calling sync.WaitGroup
	for c, client := range clients {
		calling.Go(func() { faults[c] = s.caller(ctx, client, c, &histograms[c]) })
	}
	calling.Wait()
	took := time.Since(began)
	all := &histograms[0]
	for i := range histograms[1:] {
		all.merge(&histograms[1+i])
	}
	return CallResult{Calls: all.count, Took: took, Latency: all.latency()}, errors.Join(faults...)
}

// caller makes the calls on the threads of one connection.
func (s *CallSpec) caller(ctx context.Context, client *wire.Client, c int, h *histogram) error {
	var body []byte
	began := time.Now()
	for turn := range s.Times {
		for thread := c; thread < s.Threads; thread += s.Conns {
			if s.For > 0 && time.Since(began) > s.For {
				return nil
			}
			for _, step := range s.steps(thread, turn) {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := step.call(client, thread, &body, h); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// steps are those of a thread, with the extra one at the very end.
func (s *CallSpec) steps(thread, turn int) []Step {
	if s.Extra == nil || thread%2 == 0 || turn < s.Times-1 {
		return s.Steps
	}
	return append(slices.Clip(s.Steps), *s.Extra)
}

func (s *Step) call(client *wire.Client, thread int, body *[]byte, h *histogram) error {
	b := append((*body)[:0], s.Before...)
	b = strconv.AppendInt(b, FirstPerson+int64(thread), 10)
	*body = append(b, s.After...)
	began := time.Now()
	status, answer, err := client.Post(s.Target, "", "", *body)
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("%s: status %d: %.300s", *body, status, answer)
	}
	h.add(time.Since(began))
	return nil
}
