package ownership

import (
	"hash/maphash"
	"iter"

	"github.com/baton-router/baton/pkg/control"
)

// slot is a thread in memory: its state and the time its timer row is armed
// for, zero for none.
type slot struct {
	state control.State
	armed control.Millis
}

// threads are the threads of a partition in memory. A node keeps millions of
// them that do nothing, so a thread takes 80 bytes in a row that the garbage
// collector need not look into, and some 8 of the index; the few with more to
// their state have it aside. Nothing is ever removed. It is not safe for
// concurrent use.
type threads struct {
	// rows in the order in which the threads came, in chunks, so that growing
	// copies nothing.
	chunks [][]row
	count  int
	// index has the number of a row, from 1 on, at the first free place from
	// its key's hash on; its length is a power of two.
	index []uint32
	seed  maphash.Seed
	rare  map[control.ThreadKey]*control.Rare
}

// rowsPerChunk rows are as large as a size class of the allocator.
const rowsPerChunk = 256

// row is a slot with its key, without pointers.
type row struct {
	key                          control.ThreadKey
	owner                        control.AppID
	expiresAt, since             control.Millis
	lastUserAt, lastChangeAt     control.Millis
	lastChange                   uint64
	armed                        control.Millis
	revision                     uint32
	windowDays                   uint8
	done, platformInbox, hasRare bool
}

func newThreads() *threads {
	return &threads{index: make([]uint32, 64), seed: maphash.MakeSeed(), rare: map[control.ThreadKey]*control.Rare{}}
}

// len is how many threads there are; none of a nil value.
func (t *threads) len() int {
	if t == nil {
		return 0
	}
	return t.count
}

// get returns a thread; false when it is not there, as in a nil value.
func (t *threads) get(key control.ThreadKey) (slot, bool) {
	if t == nil {
		return slot{}, false
	}
	n := t.index[t.place(&key)]
	if n == 0 {
		return slot{}, false
	}
	return t.slot(t.row(n)), true
}

// put adds a thread or replaces it.
func (t *threads) put(key control.ThreadKey, s slot) {
	place := t.place(&key)
	if t.index[place] == 0 {
		t.index[place] = t.add(key)
	}
	r := t.row(t.index[place])
	had := r.hasRare
	*r = row{
		key: key, owner: s.state.Owner, expiresAt: s.state.ExpiresAt, since: s.state.Since, lastUserAt: s.state.LastUserAt,
		lastChangeAt: s.state.LastChangeAt, lastChange: s.state.LastChange, armed: s.armed, revision: s.state.Revision,
		windowDays: s.state.WindowDays, done: s.state.Done, platformInbox: s.state.PlatformInbox, hasRare: s.state.Rare != nil,
	}
	switch {
	case r.hasRare:
		t.rare[key] = s.state.Rare
	case had:
		delete(t.rare, key)
	}
	if t.count > len(t.index)/4*3 {
		t.grow()
	}
}

// all yields the threads in the order in which they came. None may be put
// meanwhile.
func (t *threads) all() iter.Seq2[control.ThreadKey, slot] {
	return func(yield func(control.ThreadKey, slot) bool) {
		for n := range t.len() {
			r := t.row(uint32(n) + 1)
			if !yield(r.key, t.slot(r)) {
				return
			}
		}
	}
}

func (t *threads) slot(r *row) slot {
	s := slot{armed: r.armed, state: control.State{
		Owner: r.owner, ExpiresAt: r.expiresAt, Since: r.since, LastUserAt: r.lastUserAt, LastChange: r.lastChange,
		LastChangeAt: r.lastChangeAt, Revision: r.revision, WindowDays: r.windowDays, Done: r.done, PlatformInbox: r.platformInbox,
	}}
	if r.hasRare {
		s.state.Rare = t.rare[r.key]
	}
	return s
}

func (t *threads) row(n uint32) *row { return &t.chunks[(n-1)/rowsPerChunk][(n-1)%rowsPerChunk] }

// place is where in the index the key is, or would be.
func (t *threads) place(key *control.ThreadKey) uint64 {
	last := uint64(len(t.index) - 1)
	at := maphash.Comparable(t.seed, *key) & last
	for n := t.index[at]; n != 0 && t.row(n).key != *key; n = t.index[at] {
		at = (at + 1) & last
	}
	return at
}

// add makes room for one more row, with its key, and returns its number.
func (t *threads) add(key control.ThreadKey) uint32 {
	if t.count == len(t.chunks)*rowsPerChunk {
		t.chunks = append(t.chunks, make([]row, rowsPerChunk))
	}
	t.count++
	t.row(uint32(t.count)).key = key
	return uint32(t.count)
}

// grow doubles the index.
func (t *threads) grow() {
	t.index = make([]uint32, 2*len(t.index))
	for n := range uint32(t.count) {
		t.index[t.place(&t.row(n+1).key)] = n + 1
	}
}
