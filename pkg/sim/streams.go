package sim

import (
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
	data     map[int][]byte
	sequence map[int]uint64
	last     uint64
}

func newRegister() *register { return &register{data: map[int][]byte{}, sequence: map[int]uint64{}} }

// servers is everything that the nodes share.
type servers struct {
	log, in stream
	topic   []bus.ControlMessage
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
	return r.last, nil
}

// publishControl takes a batch whole or not at all.
func (w *World) publishControl(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
	cursors := w.servers.cursors
	for _, m := range moves {
		if cursors.sequence[m.Partition] != m.Expected {
			return nil, bus.ErrWrongSequence
		}
	}
	cursors.last += uint64(len(messages))
	w.servers.topic = append(w.servers.topic, messages...)
	for _, m := range messages {
		w.truth.published(m)
	}
	sequences := make([]uint64, len(moves))
	for i, m := range moves {
		sequences[i], _ = cursors.swap(m.Partition, m.Data, m.Expected) // compared above
	}
	return sequences, nil
}
