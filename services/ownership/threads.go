package ownership

import (
	"hash/maphash"
	"iter"
	"runtime"

	"github.com/baton-router/baton/pkg/control"
)

// slot is a thread in memory: its state and the time its timer row is armed
// for, zero for none. Since a start the row may be due earlier.
type slot struct {
	state control.State
	armed control.Millis
}

// threads are the threads of a partition in memory. A node keeps millions of
// them that do nothing, so a thread takes 80 bytes in a row and some 8 of the
// index, both outside the garbage-collected heap; the few with more to their
// state have it aside. Nothing is ever removed. It is not safe for concurrent
// use.
type threads struct {
	pages *pages
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

const (
	// rowsPerChunk rows fill whole pages.
	rowsPerChunk = 1024
	// firstIndex places fill one.
	firstIndex = 1024
)

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
	t := &threads{pages: &pages{}, seed: maphash.MakeSeed(), rare: map[control.ThreadKey]*control.Rare{}}
	t.index = allot[uint32](t.pages, firstIndex)
	runtime.AddCleanup(t, (*pages).release, t.pages)
	return t
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
	n := t.find(key)
	return t.at(n), n != 0
}

// find returns the number of a thread's row, which stays its own; 0 for none.
func (t *threads) find(key control.ThreadKey) uint32 {
	if t == nil {
		return 0
	}
	defer runtime.KeepAlive(t) // and with it the rows
	return t.index[t.place(&key)]
}

// at is the thread of a row; the zero slot for 0.
func (t *threads) at(n uint32) slot {
	if n == 0 {
		return slot{}
	}
	defer runtime.KeepAlive(t)
	return t.slot(t.row(n))
}

// putAt is put for a thread whose row is known, 0 for one that is not there.
func (t *threads) putAt(n uint32, key control.ThreadKey, s slot) (before control.AppID) {
	if n == 0 {
		return t.put(key, s)
	}
	defer runtime.KeepAlive(t)
	r := t.row(n)
	before = r.owner
	t.set(r, r.hasRare, key, s)
	return before
}

// put adds a thread or replaces it, and returns the owner that it had.
func (t *threads) put(key control.ThreadKey, s slot) (before control.AppID) {
	defer runtime.KeepAlive(t)
	place := t.place(&key)
	if n := t.index[place]; n != 0 {
		return t.putAt(n, key, s)
	}
	n := t.add()
	t.index[place] = n
	t.set(t.row(n), false, key, s)
	if t.count > len(t.index)/4*3 {
		t.reindex(2 * len(t.index))
	}
	return 0
}

// fill is put for a table that is empty, of threads that come once each: each
// has put called for every one of them.
func (t *threads) fill(each func(put func(control.ThreadKey, slot)) error) error {
	err := each(func(key control.ThreadKey, s slot) { t.set(t.row(t.add()), false, key, s) })
	places := len(t.index)
	for t.count > places/4*3 {
		places *= 2
	}
	t.reindex(places)
	return err
}

// set writes a row; had says whether its thread had more, aside. A new row is not
// read: its page would be made at the read, and once more at the write, which
// stops every processor that the process runs on.
func (t *threads) set(r *row, had bool, key control.ThreadKey, s slot) {
	defer runtime.KeepAlive(t)
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
		runtime.KeepAlive(t)
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

// add makes room for one more row and returns its number.
func (t *threads) add() uint32 {
	if t.count == len(t.chunks)*rowsPerChunk {
		t.chunks = append(t.chunks, allot[row](t.pages, rowsPerChunk))
	}
	t.count++
	return uint32(t.count)
}

// reindex makes an index of so many places, a power of two.
func (t *threads) reindex(places int) {
	old := t.index
	t.index = allot[uint32](t.pages, places)
	clear(t.index) // they are zero, but looked at first they would be made twice, as in set
	giveBack(t.pages, old)
	for n := range uint32(t.count) {
		t.index[t.place(&t.row(n+1).key)] = n + 1
	}
}
