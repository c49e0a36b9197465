package traffic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/tools/bench/wire"
)

// LoadSpec says what a platform posts.
type LoadSpec struct {
	// Host and Target are where: host:port and path.
	Host, Target string
	// Secret signs the bodies.
	Secret string
	Page   uint64
	// Threads the events go round, Conns at most as many: connection c has the
	// threads c, c+Conns and so on to itself and keeps their order.
	Threads, Conns int
	PerPost        int
	// Events bounds how many there are, For how long new ones are posted; 0 for
	// no bound, and each connection posts once at least. The rates of unlike
	// machines and routers differ a lot, and what takes a time is the same to
	// wait for.
	Events int
	For    time.Duration
	// Rate of events per second; 0 for as fast as they are taken.
	Rate float64
}

// Validate lists every fault.
func (s LoadSpec) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("load: "+format, args...))
		}
	}
	check(s.Threads > 0 && s.Conns > 0 && s.PerPost > 0, "threads, conns and per_post must be above 0")
	check(s.Threads >= s.Conns, "%d threads are too few for %d connections", s.Threads, s.Conns)
	check(s.Events > 0 || s.For > 0, "neither a number of events nor a time")
	return errors.Join(faults...)
}

// LoadResult is what a load has seen. Every event was acknowledged.
type LoadResult struct {
	Events, Posts uint64
	Refused       uint64 // answers of 429 and 503, repeated until they were taken
	Began         int64  // ns since 1970
	Took          time.Duration
	Latency       Latency // of a POST
}

// postTimeout bounds one exchange.
const postTimeout = 60 * time.Second

// Platform posts one load after the other. Each thread's events go on where the
// load before ended.
type Platform struct{ next []int } // by connection: events so far

// Load posts and returns when every event is acknowledged. Threads and Conns
// must be those of the loads before.
func (p *Platform) Load(ctx context.Context, s LoadSpec) (LoadResult, error) {
	if err := s.Validate(); err != nil {
		return LoadResult{}, err
	}
	if p.next == nil {
		p.next = make([]int, s.Conns)
	}
	if len(p.next) != s.Conns {
		return LoadResult{}, fmt.Errorf("load: %d connections after %d", s.Conns, len(p.next))
	}
	clients, err := dial(ctx, s.Host, s.Conns)
	defer closeAll(clients)
	if err != nil {
		return LoadResult{}, err
	}
	l := load{spec: s, signer: NewSigner(s.Secret), began: time.Now()}
	histograms := make([]histogram, s.Conns)
	faults := make([]error, s.Conns)
	var posting sync.WaitGroup
	for c, client := range clients {
		posting.Go(func() {
			if faults[c] = l.post(ctx, client, c, &p.next[c], &histograms[c]); faults[c] != nil {
				l.failed.Store(true)
			}
		})
	}
	posting.Wait()
	result := LoadResult{Events: l.events.Load(), Refused: l.refused.Load(), Began: l.began.UnixNano(), Took: time.Since(l.began)}
	all := &histograms[0]
	for i := range histograms[1:] {
		all.merge(&histograms[1+i])
	}
	result.Posts, result.Latency = all.count, all.latency()
	return result, errors.Join(faults...)
}

func dial(ctx context.Context, host string, n int) (clients []*wire.Client, err error) {
	for range n {
		c, err := wire.Dial(ctx, host, postTimeout)
		if err != nil {
			return clients, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

func closeAll(clients []*wire.Client) {
	for _, c := range clients {
		_ = c.Close()
	}
}

type load struct {
	spec    LoadSpec
	signer  *Signer
	began   time.Time
	events  atomic.Uint64
	refused atomic.Uint64
	failed  atomic.Bool
}

// place is the thread of connection c's event k, and which of that thread's
// events it is.
func (s *LoadSpec) place(c, k int) (thread, number int) {
	own := (s.Threads - c + s.Conns - 1) / s.Conns
	return c + k%own*s.Conns, k / own
}

// post sends connection c's events. The first next of them are sent already.
func (l *load) post(ctx context.Context, client *wire.Client, c int, next *int, h *histogram) error {
	s := &l.spec
	var body []byte
	for sent := 0; !l.failed.Load(); {
		count := l.count(c, sent)
		if count == 0 {
			return nil
		}
		if err := l.wait(ctx, c+sent*s.Conns); err != nil {
			return err
		}
		now := time.Now()
		body = AppendWebhook(body[:0], s, c, *next, count, now)
		if err := l.deliver(client, body); err != nil {
			return err
		}
		h.add(time.Since(now))
		l.events.Add(uint64(count))
		*next, sent = *next+count, sent+count
	}
	return nil
}

// count is how many events connection c's next POST has, after so many; 0 for
// the end.
func (l *load) count(c, sent int) int {
	if l.spec.For > 0 && sent > 0 && time.Since(l.began) >= l.spec.For {
		return 0
	}
	if l.spec.Events == 0 {
		return l.spec.PerPost
	}
	share := (l.spec.Events - c + l.spec.Conns - 1) / l.spec.Conns
	return min(l.spec.PerPost, max(share-sent, 0))
}

// wait paces the event with that number.
func (l *load) wait(ctx context.Context, sent int) error {
	if l.spec.Rate <= 0 {
		return ctx.Err()
	}
	at := l.began.Add(time.Duration(float64(sent) / l.spec.Rate * float64(time.Second)))
	return Pause(ctx, time.Until(at))
}

// Pause waits for a time to pass; it returns ctx's error when that ends first.
func Pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// deliver posts a body until it is taken.
func (l *load) deliver(client *wire.Client, body []byte) error {
	signature := l.signer.Sign(body)
	for {
		status, answer, err := client.Post(l.spec.Target, signature, "", body)
		switch {
		case err != nil:
			return err
		case status == 200:
			return nil
		case status == 429 || status == 503:
			l.refused.Add(1)
			<-time.After(5 * time.Millisecond)
		default:
			return fmt.Errorf("load: status %d: %.200s", status, answer)
		}
	}
}
