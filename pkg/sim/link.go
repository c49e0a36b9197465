package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// link is what one life of a node has of the bus. It implements the ports of
// the services. A crash ends it: nothing that its node still does has an effect.
type link struct {
	w    *World
	name string // node and life
	node *node
	dead atomic.Bool
	// reconnects counts how often its connection was lost and made anew.
	reconnects atomic.Uint64
	// serving are the handlers of commands, by partition; guarded by the
	// scheduler's lock.
	serving map[int]func(bus.CommandCall)
	// highest are the epochs that its graphapi has heard of, by partition, and
	// stale the accepted sends that it heard of, true from holders of lower ones alone;
	// guarded by the truth's lock.
	highest map[int]uint64
	stale   map[string]bool
}

func newLink(n *node) *link {
	return &link{
		w: n.w, name: fmt.Sprintf("%s.%d", n.name, n.lives), node: n, serving: map[int]func(bus.CommandCall){},
		highest: map[int]uint64{}, stale: map[string]bool{},
	}
}

// call waits for one of several ends. It returns ErrClosed once the link is
// dead.
func (l *link) call(ctx context.Context, key string, ready func() bool, left func(), ends ...end) error {
	return l.await(ctx, &op{key: key, ready: ready, left: left, ends: ends})
}

// await waits for an operation of the link to end.
func (l *link) await(ctx context.Context, o *op) error {
	if l.dead.Load() {
		return bus.ErrClosed
	}
	o.link, o.key = l, l.name+" "+o.key
	if err := l.w.scheduler.wait(ctx, o); err != nil {
		return err
	}
	if l.dead.Load() {
		return bus.ErrClosed
	}
	return nil
}

// write is a message to the server, with all that may happen to it. try is what
// the server does with it.
func (l *link) write(ctx context.Context, key string, try func() (uint64, error)) (sequence uint64, err error) {
	late := func() { l.w.servers.send(l.name+" "+key, func() { _, _ = try() }) }
	lost := end{"lost", 3, func() { err = bus.ErrOutcomeUnknown }}
	ended := l.await(ctx, &op{key: key, left: late, broken: &lost, ends: []end{
		{"done", 100, func() { sequence, err = try() }},
		{"answer lost", 6, func() { _, _ = try(); err = bus.ErrOutcomeUnknown }},
		lost,
		{"late", 6, func() { late(); err = bus.ErrOutcomeUnknown }},
		{"twice", 4, func() { sequence, err = try(); late() }},
		{"in flight", 2, func() { err = bus.ErrInFlight }},
		{"unavailable", 2, func() { err = bus.ErrUnavailable }},
	}})
	if ended != nil {
		return 0, ended
	}
	return sequence, err
}

// read asks the server for something.
func (l *link) read(ctx context.Context, key string, get func() error) error {
	var err error
	none := end{"unavailable", 1, func() { err = bus.ErrUnavailable }}
	if ended := l.await(ctx, &op{key: key, broken: &none, ends: []end{{"read", 60, func() { err = get() }}, none}}); ended != nil {
		return ended
	}
	return err
}

// follow reads a stream until ctx ends or fn fails.
func (l *link) follow(ctx context.Context, key string, s *stream, o bus.ReadOptions, fn func(bus.Message) error) error {
	for next := o.After; ; {
		var m bus.Message
		ready := func() bool { _, ok := s.next(next, o.Partitions); return ok }
		if err := l.call(ctx, key, ready, nil, end{"next", 1, func() { m, _ = s.next(next, o.Partitions) }}); err != nil {
			return err
		}
		m.Data = slices.Clone(m.Data)
		if err := fn(m); err != nil {
			return err
		}
		next = m.Sequence
	}
}

// AppendLog implements ownership.Log.
func (l *link) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	data = slices.Clone(data)
	return l.write(ctx, fmt.Sprintf("append %d after %d", p, expected), func() (uint64, error) { return l.w.append(p, data, expected) })
}

// Barrier implements ownership.Log.
func (l *link) Barrier(ctx context.Context, p int, expected uint64) error {
	_, err := l.write(ctx, fmt.Sprintf("barrier %d at %d", p, expected), func() (uint64, error) { return 0, l.w.barrier(p, expected) })
	return err
}

// Reconnects implements ownership.Log.
func (l *link) Reconnects() uint64 { return l.reconnects.Load() }

// LastLog implements ownership.Log.
func (l *link) LastLog(ctx context.Context, p int) (m bus.Message, err error) {
	err = l.read(ctx, fmt.Sprintf("last %d", p), func() error {
		var ok bool
		if m, ok = l.w.servers.log.lastOf(p); !ok {
			return bus.ErrNoMessage
		}
		return nil
	})
	return m, err
}

// NextLog implements ownership.Log and fanout.Log.
func (l *link) NextLog(ctx context.Context, p int, after uint64) (m bus.Message, err error) {
	err = l.read(ctx, fmt.Sprintf("next %d after %d", p, after), func() error {
		var ok bool
		if m, ok = l.w.servers.log.next(after, []int{p}); !ok {
			return bus.ErrNoMessage
		}
		return nil
	})
	return m, err
}

// ReadLog implements ownership.Log and fanout.Log.
func (l *link) ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	return l.follow(ctx, fmt.Sprintf("log %v after %d", o.Partitions, o.After), &l.w.servers.log, o, fn)
}

// ReadInbound implements ownership.Input and fanout.Inbound.
func (l *link) ReadInbound(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	return l.follow(ctx, fmt.Sprintf("input %v after %d", o.Partitions, o.After), &l.w.servers.in, o, fn)
}

// Inbound implements fanout.Inbound.
func (l *link) Inbound(ctx context.Context, p int, sequence uint64) (m bus.Message, err error) {
	err = l.read(ctx, fmt.Sprintf("input %d", sequence), func() error {
		if m, err = l.w.servers.in.at(sequence); err == nil && m.Partition != p {
			err = bus.ErrNoMessage
		}
		return err
	})
	return m, err
}

// InboundTime implements ownership.Input.
func (l *link) InboundTime(ctx context.Context, sequence uint64) (at time.Time, err error) {
	err = l.read(ctx, fmt.Sprintf("time of input %d", sequence), func() error {
		m, err := l.w.servers.in.at(sequence)
		at = m.At
		return err
	})
	return at, err
}

// LastInbound implements ownership.Input.
func (l *link) LastInbound(ctx context.Context, p int) (sequence uint64, err error) {
	err = l.read(ctx, fmt.Sprintf("last input %d", p), func() error {
		m, _ := l.w.servers.in.lastOf(p)
		sequence = m.Sequence
		return nil
	})
	return sequence, err
}

// InboundRange implements ownership.Input and fanout.Inbound.
func (l *link) InboundRange(ctx context.Context) (first, last, bytes uint64, err error) {
	err = l.read(ctx, "input range", func() error {
		first, last = 1, l.w.servers.in.last()
		return nil
	})
	return first, last, 0, err
}

// TrimInbound implements ownership.Input; nothing is trimmed.
func (*link) TrimInbound(context.Context, uint64) error { return nil }

// ServeCommands implements ownership.Commands.
func (l *link) ServeCommands(p int, handle func(bus.CommandCall)) (stop func(), err error) {
	if l.dead.Load() {
		return nil, bus.ErrClosed
	}
	l.w.scheduler.mu.Lock()
	defer l.w.scheduler.mu.Unlock()
	l.serving[p] = handle
	return func() {
		l.w.scheduler.mu.Lock()
		defer l.w.scheduler.mu.Unlock()
		delete(l.serving, p)
	}, nil
}

// PublishControl implements ownership.Topic.
func (l *link) PublishControl(ctx context.Context, messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
	var sequences []uint64
	var key strings.Builder
	key.WriteString("control")
	for _, m := range moves {
		fmt.Fprintf(&key, " %d after %d", m.Partition, m.Expected)
	}
	_, err := l.write(ctx, key.String(), func() (uint64, error) {
		got, err := l.w.publishControl(messages, moves)
		sequences = got
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return sequences, nil
}

// ControlCursor implements ownership.Topic.
func (l *link) ControlCursor(ctx context.Context, p int) ([]byte, uint64, error) {
	return l.load(ctx, fmt.Sprintf("control cursor %d", p), l.w.servers.cursors, p)
}

// LoadCursor implements fanout.Cursors.
func (l *link) LoadCursor(ctx context.Context, p int) ([]byte, uint64, error) {
	return l.load(ctx, fmt.Sprintf("cursor %d", p), l.w.servers.places, p)
}

func (l *link) load(ctx context.Context, key string, r *register, p int) (data []byte, sequence uint64, err error) {
	err = l.read(ctx, key, func() error { data, sequence = slices.Clone(r.data[p]), r.sequence[p]; return nil })
	return data, sequence, err
}

// SaveCursor implements fanout.Cursors.
func (l *link) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	data = slices.Clone(data)
	return l.write(ctx, fmt.Sprintf("save %d after %d", p, expected), func() (uint64, error) { return l.w.servers.places.swap(p, data, expected) })
}

// SaveCursors implements fanout.Cursors.
func (l *link) SaveCursors(ctx context.Context, moves []bus.CursorMove) (sequences []uint64, err error) {
	var key strings.Builder
	key.WriteString("save")
	for i, m := range moves {
		moves[i].Data = slices.Clone(m.Data)
		fmt.Fprintf(&key, " %d after %d", m.Partition, m.Expected)
	}
	_, err = l.write(ctx, key.String(), func() (uint64, error) {
		got, err := l.w.servers.places.swapAll(moves)
		sequences = got
		return 0, err
	})
	if err != nil {
		return nil, err
	}
	return sequences, nil
}

// ServeSteering implements fanout.Steering; operators give no orders.
func (*link) ServeSteering(int, func(bus.SteerCall)) (stop func(), err error) {
	return func() {}, nil
}

// AskSteering implements fanout.Steering.
func (*link) AskSteering(context.Context, int, []byte) ([]byte, error) { return nil, bus.ErrNoHolder }
