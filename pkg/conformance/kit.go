package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// kit is what the trials of one run share.
type kit struct {
	server    *Server
	steward   Steward // nil on servers that are not Baton
	plan      *plan
	client    *http.Client
	receivers *receivers
	time      *timeline
	slots     chan struct{}
	applying  sync.Mutex

	mu struct {
		sync.Mutex
		ended []*run // since the server was at rest last
		late  map[*run]string
	}
}

// ErrUnreachable is returned by Run when nothing answers at the server's URL.
var ErrUnreachable = errors.New("conformance: the server cannot be reached")

// Run puts a server through the vectors that the filter selects, and reports
// how each went. The steward is nil for a server that is not Baton. It blocks
// until all is done; an error is for what kept the kit from going on, not for a
// vector that failed. Everything that it started has ended when it returns.
func Run(ctx context.Context, server *Server, steward Steward, vectors []Vector, filter Filter) (*Report, error) {
	k := &kit{server: server, steward: steward, plan: newPlan(vectors, filter, server, time.Now())}
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * server.Parallel}
	defer transport.CloseIdleConnections()
	k.client = &http.Client{Transport: transport, Timeout: time.Duration(server.Deadline)}
	k.slots = make(chan struct{}, server.Parallel)
	k.mu.late = map[*run]string{}
	if err := k.reach(ctx); err != nil {
		return nil, err
	}
	var err error
	if k.receivers, err = listen(ctx, server.Callbacks); err != nil {
		return nil, err
	}
	report, err := k.run(ctx)
	return report, errors.Join(err, k.receivers.close())
}

// reach asks whether anything answers.
func (k *kit) reach(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.server.URL+"/"+version+"/me", http.NoBody)
	if err != nil {
		return err
	}
	if _, err := k.send(req); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// run makes the apps and pages known and tries everything: first what changes
// the roster, one after the other, then the rest side by side.
func (k *kit) run(ctx context.Context) (*Report, error) {
	k.receivers.expect(k.plan.apps)
	k.time = newTimeline(k.steward, k.settle, 0)
	if k.steward != nil {
		if err := k.apply(ctx); err != nil {
			return nil, err
		}
		if _, err := k.steward.Clock(ctx, 0); err != nil {
			return nil, fmt.Errorf("the clock: %w", err)
		}
	}
	report := newReport(k.plan.trials)
	first, rest := k.split()
	for _, t := range first {
		k.side(ctx, []*trial{t}, report)
	}
	k.side(ctx, rest, report)
	if err := k.settle(ctx); err != nil {
		return nil, err
	}
	report.finish(k.late(), k.receivers.faults())
	return report, ctx.Err()
}

func (k *kit) split() (first, rest []*trial) {
	for _, t := range k.plan.trials {
		switch {
		case t.lacking != "":
		case t.vector.changesRoster():
			first = append(first, t)
		default:
			rest = append(rest, t)
		}
	}
	return first, rest
}

// side tries trials side by side and returns when all are done.
func (k *kit) side(ctx context.Context, trials []*trial, report *Report) {
	ahead := k.time.mu.ahead
	k.time = newTimeline(k.steward, k.settle, len(trials))
	if k.time.mu.ahead = ahead; k.steward != nil {
		if now, err := k.steward.Clock(ctx, 0); err == nil {
			k.time.mu.ahead = now
		}
	}
	var wg sync.WaitGroup
	for _, t := range trials {
		wg.Go(func() {
			defer k.time.leave(ctx)
			k.one(ctx, t, report)
		})
	}
	wg.Wait()
}

// one tries one trial.
func (k *kit) one(ctx context.Context, t *trial, report *Report) {
	c := newRun(t, k)
	k.work(c)
	defer k.rest(c)
	k.receivers.attend(c)
	began := time.Now()
	difference, err := c.try(ctx)
	report.add(c, difference, err, time.Since(began))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.ended = append(k.mu.ended, c)
}

// work takes a place among the trials under way, rest gives it back.
func (k *kit) work(*run) { k.slots <- struct{}{} }
func (k *kit) rest(*run) { <-k.slots }

// settle waits until the server is at rest, and looks whether trials that are
// over have received anything more.
func (k *kit) settle(ctx context.Context) error {
	if err := k.quiet(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.mu.ended {
		if difference := c.end(); difference != "" {
			k.mu.late[c] = difference
		}
	}
	k.mu.ended = nil
	return nil
}

func (k *kit) quiet(ctx context.Context) error {
	if k.steward == nil {
		return pause(ctx, time.Duration(k.server.Settle))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(k.server.Deadline))
	defer cancel()
	for {
		quiet, err := k.steward.Quiet(ctx)
		if err != nil || quiet {
			return err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("the server does not come to rest: %w", err)
		}
	}
}

func (k *kit) late() map[*run]string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.late
}

// apply puts the plan's apps and pages into force.
func (k *kit) apply(ctx context.Context) error {
	k.applying.Lock()
	defer k.applying.Unlock()
	roster, err := k.plan.roster(k.receivers.callback)
	if err != nil {
		return err
	}
	return k.steward.Apply(ctx, roster)
}

// send makes a request and reads its answer.
func (k *kit) send(req *http.Request) (answered, error) {
	resp, err := k.client.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	const most = 4 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	return answered{resp.StatusCode, body}, err
}

// Reachable reports whether an error of Run is about a server that is not
// there.
func Reachable(err error) bool {
	var cut *net.OpError
	return !errors.Is(err, ErrUnreachable) && !errors.As(err, &cut)
}
