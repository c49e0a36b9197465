package eventlog

import (
	"bytes"
	"iter"
	"maps"
	"slices"

	"github.com/baton-router/baton/pkg/control"
)

// Fold rebuilds partitions in memory out of their records alone: the yardstick
// for everything that is built from the log in another way. The zero Fold has
// folded nothing. It is not safe for concurrent use.
type Fold struct {
	partitions map[uint32]*Partition
}

// Apply folds r into its partition. The error is that of Partition.Apply.
func (f *Fold) Apply(r *Record) error {
	p := f.partitions[r.Partition]
	if p == nil {
		if f.partitions == nil {
			f.partitions = make(map[uint32]*Partition)
		}
		p = new(Partition)
		f.partitions[r.Partition] = p
	}
	return p.Apply(r)
}

// Partition returns what was folded of partition p, nil when no record of it
// was.
func (f *Fold) Partition(p uint32) *Partition { return f.partitions[p] }

// Partitions returns the numbers of the partitions folded, ascending.
func (f *Fold) Partitions() []uint32 { return slices.Sorted(maps.Keys(f.partitions)) }

// Digests returns the digests of the partitions folded. It computes them on
// several goroutines.
func (f *Fold) Digests() map[uint32]Digest {
	digests, _ := DigestsOf(f.Partitions(), func(p uint32) (Digest, error) { return f.partitions[p].Digest(), nil })
	return digests
}

// Digest returns the total of Digests.
func (f *Fold) Digest() Digest { return Total(f.Digests()) }

// Threads is how many threads have a state.
func (f *Fold) Threads() (n uint64) {
	for _, p := range f.partitions {
		n += p.ThreadCount()
	}
	return n
}

// Partition is one partition folded in memory. The zero Partition is at the
// beginning of its log. It is not safe for concurrent use.
type Partition struct {
	head    Head
	states  map[control.ThreadKey]control.State
	seen    seenKeys
	answers map[[16]byte]Answer
	swept   control.Millis
}

// Apply folds r. The error is ErrStaleEpoch or ErrBrokenChain, and nothing has
// changed then; after the first, the reader goes on with the next record.
func (p *Partition) Apply(r *Record) error {
	head, err := p.head.Next(r)
	if err != nil {
		return err
	}
	if p.states == nil {
		p.states = make(map[control.ThreadKey]control.State)
		p.answers = make(map[[16]byte]Answer)
	}
	p.head = head
	for i := range r.Entries {
		if e := &r.Entries[i]; e.Evolves() {
			p.states[e.Thread] = control.Evolve(p.states[e.Thread], e.Event)
		}
	}
	Project(r, memory{p})
	p.sweep()
	return nil
}

// sweep forgets what has lapsed, once an hour of partition time.
func (p *Partition) sweep() {
	now := p.head.DecidedAt
	if now < p.swept+control.Hour {
		return
	}
	p.swept = now
	p.seen = p.seen.rememberedAt(now)
	maps.DeleteFunc(p.answers, func(_ [16]byte, a Answer) bool { return !a.Live(now) })
}

// Head returns where the partition stands.
func (p *Partition) Head() Head { return p.head }

// State returns the state of a thread; false when it has none.
func (p *Partition) State(thread control.ThreadKey) (control.State, bool) {
	s, ok := p.states[thread]
	return s, ok
}

// ThreadCount is how many threads have a state.
func (p *Partition) ThreadCount() uint64 { return uint64(len(p.states)) }

// Threads yields the threads with their states, by key.
func (p *Partition) Threads() iter.Seq2[control.ThreadKey, control.State] {
	keys := slices.SortedFunc(maps.Keys(p.states), func(a, b control.ThreadKey) int {
		switch {
		case a.Less(b):
			return -1
		case b.Less(a):
			return 1
		}
		return 0
	})
	return func(yield func(control.ThreadKey, control.State) bool) {
		for _, key := range keys {
			if !yield(key, p.states[key]) {
				return
			}
		}
	}
}

// Seen returns when a webhook event with this key was decided on, if that is
// remembered at now.
func (p *Partition) Seen(key [16]byte, now control.Millis) (at control.Millis, ok bool) {
	return p.seen.find(key, now)
}

// Answer returns the answer of a command id or an idempotency key, if it counts
// at now.
func (p *Partition) Answer(key [16]byte, now control.Millis) (Answer, bool) {
	a, ok := p.answers[key]
	if !ok || !a.Live(now) {
		return Answer{}, false
	}
	return a, true
}

// Digest returns the state digest as of the last decided-at.
func (p *Partition) Digest() Digest {
	d, now := NewDigester(), p.head.DecidedAt
	var buf []byte
	for key, s := range p.Threads() {
		buf = s.AppendCanonical(buf[:0])
		d.Thread(key, buf)
	}
	for _, s := range p.seen.byKey(now) {
		d.Seen(s.key, s.at)
	}
	for _, key := range sortedKeys(p.answers) {
		if a := p.answers[key]; a.Live(now) {
			buf = AppendAnswer(buf[:0], &a)
			d.Answer(key, buf)
		}
	}
	return d.Sum()
}

func sortedKeys[V any](m map[[16]byte]V) [][16]byte {
	return slices.SortedFunc(maps.Keys(m), func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
}

// memory is the Tables of a Partition. Buttons, message ids and histories can
// be read from the log; a fold does not keep them.
type memory struct{ p *Partition }

func (m memory) Remember(key [16]byte, at control.Millis) {
	m.p.seen = append(m.p.seen, seenKey{key, at})
}
func (m memory) Answer(key [16]byte, a Answer)                 { m.p.answers[key] = a }
func (memory) Button(control.ThreadKey, uint64, control.AppID) {}
func (memory) Sent(string, control.Position)                   {}
func (memory) Happened(control.ThreadKey, control.Position)    {}
