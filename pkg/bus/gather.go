package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Bounds of a bundle, in bytes.
const (
	// bundleBytes is where a bundle is full. A single larger part goes alone.
	bundleBytes = 1 << 20
	// maxPart bounds a part: with the rest of its bundle it stays below
	// MaxRecord.
	maxPart = MaxRecord - 64<<10
	// keepBundle is the largest buffer that is used again.
	keepBundle = 2 * bundleBytes
)

// repeatBundle spaces the repeats of a bundle whose outcome is unknown.
const repeatBundle = 50 * time.Millisecond

// gatherer writes one stream in a process that is its only writer. While one
// bundle is on its way, what comes in is gathered for the next: one write and
// one fsync for all partitions, and no timer.
//
// The fence of a partition is kept here: its last sequence is known, since
// nobody else writes. That this is so is checked with every bundle, which the
// stream takes only behind the sequence that was written last.
type gatherer struct {
	conn    *Conn
	asker   *asker
	stream  string
	subject string // of its bundles
	prefix  string // of the partitions' own messages
	wake    chan struct{}
	stop    context.CancelFunc
	ended   chan struct{}
	recent  *recent  // for the readers of this process
	mu      struct { // nothing that blocks is done under it
		sync.Mutex
		closed bool
		base   uint64    // last sequence of the stream
		lasts  []uint64  // last sequence by partition, 0 for none
		queue  []*flight // in order; the last one is being filled
		newest []*flight // by partition: the one under way that holds it
		before formation // of the last one that was stored
	}
}

//nolint:gochecknoglobals // free buffers of bundles
var bundleBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// gather starts a writer of bundles, which close ends. It reads where the
// partitions stand.
func (c *Conn) gather(ctx context.Context, l *link, stream, prefix string, partitions int) (*gatherer, error) {
	a, err := newAsker(l)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", stream, err)
	}
	g := &gatherer{
		conn: c, asker: a, stream: stream, prefix: prefix, subject: prefix + bundled,
		wake: make(chan struct{}, 1), ended: make(chan struct{}), recent: newRecent(),
	}
	g.mu.newest = make([]*flight, partitions)
	if err := g.learn(ctx); err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	go g.run(run)
	return g, nil
}

// learn reads where the stream and its partitions stand.
func (g *gatherer) learn(ctx context.Context) error {
	use, err := g.conn.streamUse(ctx, g.stream)
	if err != nil {
		return err
	}
	lasts, err := g.conn.lastOfAll(ctx, g.stream, g.prefix, len(g.mu.newest), use)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.base, g.mu.lasts = use.Last, lasts
	g.recent.restart(use.Last + 1)
	return nil
}

// close ends the writer. What is under way has an unknown outcome.
func (g *gatherer) close() {
	if g == nil {
		return
	}
	g.stop()
	<-g.ended
}

// last is the last sequence of a partition, 0 for none.
func (g *gatherer) last(p int) uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.lasts[p]
}

// forget notes that the stream has been trimmed: what it does not hold any more
// counts as none.
func (g *gatherer) forget(upTo uint64) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.recent.forget(upTo)
	for p, last := range g.mu.lasts {
		if last <= upTo {
			g.mu.lasts[p] = 0
		}
	}
}

// write stores data for a partition and returns its sequence. fenced: only if
// the last sequence of the partition is the expected one.
func (g *gatherer) write(ctx context.Context, p int, data []byte, expected uint64, fenced bool) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("publish on %s%d: not sent: %w", g.prefix, p, err)
	}
	f, err := g.board(data, flightPart{partition: p, expected: expected, fenced: fenced})
	if err != nil {
		return 0, g.failed(p, err)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return 0, fmt.Errorf("publish on %s%d: %w: %w", g.prefix, p, ErrOutcomeUnknown, ctx.Err())
	}
	if err := f.outcome(p); err != nil {
		return 0, g.failed(p, err)
	}
	return f.sequence, nil
}

// submit stores data for a partition without a fence and without waiting.
// stored is called once: by the writer's goroutine, which it must not block, or
// before submit returns.
func (g *gatherer) submit(p int, data []byte, stored func(error)) {
	if _, err := g.board(data, flightPart{partition: p, stored: stored}); err != nil {
		stored(g.failed(p, err))
	}
}

// board puts a part into the bundle that is being filled. A caller that gave up
// waiting and repeats its part joins the bundle that has it.
func (g *gatherer) board(data []byte, part flightPart) (*flight, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, expected, fenced := part.partition, part.expected, part.fenced
	under := g.mu.newest[p]
	switch {
	case len(data) > maxPart:
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), maxPart)
	case g.mu.closed:
		return nil, ErrClosed
	case fenced && under != nil && under.holds(p, data, expected):
		return under, nil
	case fenced && under != nil:
		return nil, ErrInFlight
	case fenced && g.mu.lasts[p] != expected:
		return nil, fmt.Errorf("%w: it is at %d, not at %d", ErrWrongSequence, g.mu.lasts[p], expected)
	}
	f := g.filling(under, len(data))
	part.from = len(f.buf)
	f.buf = appendPart(f.buf, p, data)
	f.open = len(f.buf)
	part.body, part.to = f.open-len(data), f.open
	f.parts = append(f.parts, part)
	g.mu.newest[p] = f
	if n := len(f.parts); n == 1 || n == g.mu.before.expected {
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
	return f, nil
}

// filling is the bundle that takes the next part: not one that holds its
// partition already.
func (g *gatherer) filling(not *flight, size int) *flight {
	if n := len(g.mu.queue); n > 0 {
		f := g.mu.queue[n-1]
		if f != not && len(f.buf)+size <= bundleBytes {
			return f
		}
	}
	buf, _ := bundleBuffers.Get().(*[]byte)
	f := &flight{buf: beginBundle((*buf)[:0]), done: make(chan struct{})}
	g.mu.queue = append(g.mu.queue, f)
	return f
}

// run sends one bundle after the other until ctx ends.
func (g *gatherer) run(ctx context.Context) {
	defer close(g.ended)
	for {
		select {
		case <-ctx.Done():
			g.refuseAll()
			return
		case <-g.wake:
		}
		for f := g.fill(ctx); f != nil; f = g.fill(ctx) {
			g.fly(ctx, f)
		}
	}
}

func (g *gatherer) refuseAll() {
	g.mu.Lock()
	g.mu.closed = true
	g.mu.Unlock()
	for f := g.depart(); f != nil; f = g.depart() {
		g.land(f, 0, ErrClosed)
	}
	g.recent.close()
}

// depart takes the next bundle.
func (g *gatherer) depart() *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mu.queue) == 0 {
		return nil
	}
	f := g.mu.queue[0]
	g.mu.queue[0] = nil
	g.mu.queue = g.mu.queue[1:]
	return f
}

// fly stores a bundle, or finds out that it is not stored.
func (g *gatherer) fly(ctx context.Context, f *flight) {
	for {
		began := time.Now()
		sequence, err := g.send(ctx, f)
		if !errors.Is(err, ErrWrongSequence) {
			f.took = time.Since(began)
			g.land(f, sequence, err)
			return
		}
		// Somebody else has written, who must not: what each partition expects
		// decides again.
		g.conn.logger.Error("the stream has another writer", "stream", g.stream, "err", err)
		if err := g.learn(ctx); err != nil {
			g.land(f, 0, err)
			return
		}
		if g.recheck(f); len(f.parts) == 0 {
			g.land(f, 0, nil)
			return
		}
	}
}

// recheck takes out the parts whose partition has moved on.
func (g *gatherer) recheck(f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	buf := beginBundle(nil)
	var stay []flightPart
	for _, p := range f.parts {
		if p.fenced && g.mu.lasts[p.partition] != p.expected {
			if f.refused == nil {
				f.refused = map[int]error{}
			}
			f.refused[p.partition] = ErrWrongSequence
			g.mu.newest[p.partition] = nil
			continue
		}
		from := len(buf)
		buf = append(buf, f.buf[p.from:p.to]...)
		p.from, p.body, p.to = from, from+p.body-p.from, len(buf)
		stay = append(stay, p)
	}
	f.buf, f.open, f.parts = buf, len(buf), stay
}

// send publishes a bundle behind the last sequence of the stream. An unknown
// outcome is closed by writing: the byte-identical bundle is repeated until the
// stream acknowledges it or has moved on; then the message in its place tells
// whose it is. The error is ErrWrongSequence when that is another's, and then,
// as with every error but ErrOutcomeUnknown, nothing is stored.
func (g *gatherer) send(ctx context.Context, f *flight) (uint64, error) {
	base, id := g.seal(f)
	m := &nats.Msg{Subject: g.subject, Data: f.buf, Header: nats.Header{
		headerExpectedStream: []string{strconv.FormatUint(base, 10)},
	}}
	unknown := false
	for try := 0; ; try++ {
		if ctx.Err() != nil && !unknown {
			return 0, ErrClosed
		}
		sequence, err := publish(ctx, g.asker, m)
		switch {
		case err == nil:
			return sequence, nil
		case errors.Is(err, ErrWrongSequence):
			return g.whose(ctx, base, id)
		case errors.Is(err, ErrOutcomeUnknown):
			unknown = true
		case !unknown:
			return 0, err
		}
		if try%100 == 0 {
			g.conn.logger.Warn("bundle has no outcome yet, repeating it", "stream", g.stream, "tries", try+1, "err", err)
		}
		if !pause(ctx, repeatBundle) {
			return 0, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrClosed)
		}
	}
}

// seal ends the bundle as it stands at this moment.
func (g *gatherer) seal(f *flight) (base uint64, id [idSize]byte) {
	_, _ = rand.Read(id[:]) // never fails
	g.mu.Lock()
	defer g.mu.Unlock()
	f.buf = sealBundle(f.buf[:f.open], g.mu.base, g.mu.lasts, id)
	return g.mu.base, id
}

// whose reads the message behind base and compares its id.
func (g *gatherer) whose(ctx context.Context, base uint64, id [idSize]byte) (uint64, error) {
	for {
		b, err := g.conn.bundleFrom(ctx, g.stream, g.subject, base+1)
		switch {
		case err == nil && b.base == base && b.id == id:
			return base + 1, nil
		case err == nil, errors.Is(err, ErrNoMessage), errors.Is(err, ErrDamaged):
			return 0, fmt.Errorf("%w: behind %d on %s is not this bundle", ErrWrongSequence, base, g.stream)
		}
		g.conn.logger.Warn("reading back a bundle", "stream", g.stream, "err", err)
		if !pause(ctx, repeatBundle) {
			return 0, fmt.Errorf("%w: %w", ErrOutcomeUnknown, ErrClosed)
		}
	}
}

// land tells the callers of a bundle what became of it.
func (g *gatherer) land(f *flight, sequence uint64, err error) {
	g.mu.Lock()
	if err == nil && len(f.parts) > 0 {
		g.mu.base = sequence
		g.mu.before.after(f, g.waiting())
	}
	for _, p := range f.parts {
		if err == nil {
			g.mu.lasts[p.partition] = sequence
		}
		if g.mu.newest[p.partition] == f {
			g.mu.newest[p.partition] = nil
		}
	}
	g.mu.Unlock()
	if err == nil && len(f.parts) > 0 {
		g.recent.add(f, sequence)
	}
	f.sequence, f.err = sequence, err
	if buf := f.buf; cap(buf) <= keepBundle {
		bundleBuffers.Put(&buf)
	}
	f.buf = nil
	close(f.done)
	for _, p := range f.parts {
		if p.stored != nil {
			p.stored(g.failed(p.partition, err))
		}
	}
}

func (g *gatherer) failed(p int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("publish on %s%d: %w", g.prefix, p, err)
}
