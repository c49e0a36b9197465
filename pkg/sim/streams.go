package sim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

// stream is a stream of the simulated server: messages by sequence, from 1 on.
type stream struct {
	messages []bus.Message
	stored   []control.Millis // when, by the simulator's clock
}

func (s *stream) add(p int, data []byte, now control.Millis) uint64 {
	s.stored = append(s.stored, now)
	s.messages = append(s.messages, bus.Message{Sequence: s.last() + 1, Partition: p, Data: data, At: time.Now()})
	return s.last()
}

func (s *stream) last() uint64 { return uint64(len(s.messages)) }

// next is the first message of the partitions (nil: of all) after a sequence.
func (s *stream) next(after uint64, partitions []int) (bus.Message, bool) {
	for _, m := range s.messages[min(after, s.last()):] {
		if partitions == nil || slices.Contains(partitions, m.Partition) {
			return m, true
		}
	}
	return bus.Message{}, false
}

// at is the message with a sequence.
func (s *stream) at(sequence uint64) (bus.Message, error) {
	if sequence == 0 || sequence > s.last() {
		return bus.Message{}, bus.ErrNoMessage
	}
	return s.messages[sequence-1], nil
}

// lastOf is the last message of a partition.
func (s *stream) lastOf(p int) (bus.Message, bool) {
	for _, m := range slices.Backward(s.messages) {
		if m.Partition == p {
			return m, true
		}
	}
	return bus.Message{}, false
}

// register is the last message of each of several subjects, each replaced by
// compare-and-set.
type register struct {
	written []written // all that there ever were and that are not lost
	data    map[int][]byte
	// sequence is that of each, last the stream's.
	sequence map[int]uint64
	last     uint64
}

// written is a message of a register.
type written struct {
	partition int
	data      []byte
	sequence  uint64
}

func newRegister() *register { return &register{data: map[int][]byte{}, sequence: map[int]uint64{}} }

// servers is everything that the nodes share.
type servers struct {
	log, in stream
	cursors *register // of the topic
	places  *register // of fan-out
	// underWay are the messages that were sent and have not arrived: they
	// arrive late, or never.
	underWay []late
}

// late is a message on its way.
type late struct {
	key    string
	arrive func()
}

func (v *servers) send(key string, arrive func()) {
	at, _ := slices.BinarySearchFunc(v.underWay, key, func(l late, key string) int { return strings.Compare(l.key, key) })
	v.underWay = slices.Insert(v.underWay, at, late{key, arrive})
}

// append takes a record if the partition's last sequence is the expected one.
func (w *World) append(p int, data []byte, expected uint64) (uint64, error) {
	if last, _ := w.servers.log.lastOf(p); last.Sequence != expected {
		return 0, bus.ErrWrongSequence
	}
	sequence := w.servers.log.add(p, data, w.now())
	w.truth.landed(p, sequence, data)
	return sequence, nil
}

func (w *World) barrier(p int, expected uint64) error {
	if last, _ := w.servers.log.lastOf(p); last.Sequence != expected {
		return bus.ErrWrongSequence
	}
	return nil
}

// swap replaces a message of a register.
func (r *register) swap(p int, data []byte, expected uint64) (uint64, error) {
	if r.sequence[p] != expected {
		return 0, bus.ErrWrongSequence
	}
	r.last++
	r.data[p], r.sequence[p] = data, r.last
	r.written = append(r.written, written{p, data, r.last})
	return r.last, nil
}

// fit reports whether every move finds the message that it is to replace.
func (r *register) fit(moves []bus.CursorMove) bool {
	for _, m := range moves {
		if r.sequence[m.Partition] != m.Expected {
			return false
		}
	}
	return true
}

// swapAll replaces several messages, all or none.
func (r *register) swapAll(moves []bus.CursorMove) ([]uint64, error) {
	if !r.fit(moves) {
		return nil, bus.ErrWrongSequence
	}
	sequences := make([]uint64, len(moves))
	for i, m := range moves {
		sequences[i], _ = r.swap(m.Partition, m.Data, m.Expected) // compared above
	}
	return sequences, nil
}

// cut takes the messages behind a sequence off the end. What those had replaced is
// there again where kept says so; else it was removed for good.
func (r *register) cut(upTo uint64, kept func() bool) (lost []int) {
	r.last = min(r.last, upTo)
	r.written = slices.DeleteFunc(r.written, func(m written) bool { return m.sequence > upTo })
	for _, p := range slices.Sorted(maps.Keys(r.sequence)) {
		if r.sequence[p] <= upTo {
			continue
		}
		lost = append(lost, p)
		delete(r.data, p)
		delete(r.sequence, p)
		if !kept() {
			r.written = slices.DeleteFunc(r.written, func(m written) bool { return m.partition == p })
		}
		for _, m := range r.written {
			if m.partition == p {
				r.data[p], r.sequence[p] = m.data, m.sequence
			}
		}
	}
	return lost
}

// publishControl takes a batch whole or not at all.
func (w *World) publishControl(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
	cursors := w.servers.cursors
	if !cursors.fit(moves) {
		return nil, bus.ErrWrongSequence
	}
	cursors.last += uint64(len(messages))
	for _, m := range messages {
		w.truth.published(m)
	}
	return cursors.swapAll(moves)
}
