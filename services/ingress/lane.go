package ingress

import (
	"errors"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/inbound"
)

// Bounds of a message. A single larger event goes alone.
const (
	maxGroupEvents = 256
	maxGroupBytes  = 512 << 10
	// stampBytes is room for received_at in each message.
	stampBytes = 16
)

// Pauses between offers to a NATS that is not available.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = 320 * time.Millisecond
)

// errBehind is what a message gets that waited behind one that failed: going on
// without the failed one could turn the order of a thread's events around.
var errBehind = errors.New("ingress: an earlier message of the partition failed")

// group is one message in the making, and what its requests wait for.
type group struct {
	data   []byte
	events int
	// cost is what was reserved for it.
	cost int
	// until is when it is not offered again.
	until time.Time
	// done is closed when the message is durable (err nil) or given up.
	done chan struct{}
	err  error
}

//nolint:gochecknoglobals // free buffers of messages
var groupData = sync.Pool{New: func() any { b := make([]byte, 0, firstRead); return &b }}

func newGroup() *group {
	data, _ := groupData.Get().(*[]byte)
	return &group{data: (*data)[:0], done: make(chan struct{})}
}

// finish tells the waiting requests. The data is gone after it.
func (g *group) finish(err error, b *budget) {
	g.err = err
	b.give(g.cost)
	if cap(g.data) <= 2*maxGroupBytes {
		groupData.Put(&g.data)
	}
	close(g.done)
}

// lane carries the events of one partition to NATS, in order.
type lane struct {
	service   *Service
	partition int
	mu        struct { // nothing that blocks may be done under it
		sync.Mutex
		// queue is what waits; the last one is being filled.
		queue []*group
		// running says that a message is under way.
		running bool
	}
}

// add puts a request's events for this partition into messages, all of them at
// once, so that a message that fails takes those behind it along. It returns
// joined with the messages added. The caller has reserved the memory.
func (l *lane) add(p *parcel, pieces []piece, joined []*group) []*group {
	joined, begin := l.fill(p, pieces, joined)
	if begin {
		l.service.publishing.Add(1)
		l.publish(l.next())
	}
	return joined
}

// fill reports whether the caller must begin to publish.
func (l *lane) fill(p *parcel, pieces []piece, joined []*group) (_ []*group, begin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last *group
	for _, piece := range pieces {
		g := l.room(piece.to - piece.from)
		g.data = append(g.data, p.data[piece.from:piece.to]...)
		g.events++
		g.cost += piece.to - piece.from
		if g != last {
			joined, last = append(joined, g), g
		}
	}
	begin = !l.mu.running
	l.mu.running = true
	return joined, begin
}

// room returns a waiting message with room for an event of n bytes.
func (l *lane) room(n int) *group {
	if waiting := len(l.mu.queue); waiting > 0 {
		g := l.mu.queue[waiting-1]
		if g.events < maxGroupEvents && len(g.data)+n <= maxGroupBytes-stampBytes {
			return g
		}
	}
	g := newGroup()
	l.mu.queue = append(l.mu.queue, g)
	return g
}

// ended goes on with the next message after one that is durable or given up.
func (l *lane) ended(g *group, err error) {
	if err != nil {
		l.fail(g, err)
	} else {
		g.finish(nil, &l.service.budget)
	}
	if next := l.next(); next != nil {
		l.publish(next)
		return
	}
	l.service.publishing.Done()
}

// fail gives up a message and what waits behind it.
func (l *lane) fail(g *group, err error) {
	l.service.deps.Logger.Warn("webhook events not stored", "partition", l.partition, "events", g.events, "err", err)
	// Taken before the requests of g hear of it, so that what they send again
	// is not among it.
	behind := l.takeAll()
	g.finish(err, &l.service.budget)
	for _, late := range behind {
		late.finish(errBehind, &l.service.budget)
	}
}

func (l *lane) next() *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mu.queue) == 0 {
		l.mu.running, l.mu.queue = false, nil
		return nil
	}
	g := l.mu.queue[0]
	l.mu.queue[0] = nil
	l.mu.queue = l.mu.queue[1:]
	return g
}

func (l *lane) takeAll() []*group {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.mu.queue
	l.mu.queue = nil
	return all
}

// publish makes a message durable, and ends it. The message belongs to many
// requests: it outlives each of them.
func (l *lane) publish(g *group) {
	s, now := l.service, l.service.deps.Now().UnixMilli()
	g.data = inbound.Seal(inbound.AppendReceived(g.data, now))
	g.until = time.Now().Add(s.config.AnswerWithin)
	l.offer(g, firstPause)
}

// offer offers a message to NATS. While that is not available, as during an
// election, it holds the message and offers it again; any other error is final.
func (l *lane) offer(g *group, pause time.Duration) {
	s, begun := l.service, time.Now()
	s.deps.Publisher.SubmitInbound(l.partition, g.data, func(err error) {
		s.deps.Observer.published(time.Since(begun), g.events, len(g.data), err)
		if errors.Is(err, bus.ErrUnavailable) && time.Until(g.until) > pause {
			time.AfterFunc(pause, func() { l.offer(g, min(2*pause, longestPause)) })
			return
		}
		l.ended(g, err)
	})
}
