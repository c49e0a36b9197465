package store

import (
	"encoding/binary"
	"slices"
)

// Sizes of the filters of keys.
const (
	// filterFirst is the room of a generation's first filter, in keys; each
	// further one has twice the room of the one before.
	filterFirst = 1 << 10
	// filterMost bounds the keys of a partition that its filters hold, which
	// take three to seven bytes each. Beyond it all keys are looked up, and a bucket
	// of that many is large: 64 partitions get there at a thousand events a second,
	// day and night.
	filterMost = 1 << 22
	// blockKeys is how many keys a block holds: of unknown ones, about one in
	// sixteen thousand then looks known, in each filter, and is looked for in the
	// store.
	blockKeys = 20
)

// filter tells keys that are surely new from those that may be known. A key sets
// one bit in each word of its block: one line of the processor's cache. Keys are
// hashes, so their own bits choose.
type filter struct {
	blocks [][8]uint64
	keys   int
}

func newFilter(room int) *filter {
	return &filter{blocks: make([][8]uint64, (room+blockKeys-1)/blockKeys)}
}

func (f *filter) full() bool { return f.keys >= len(f.blocks)*blockKeys }

// place is a key's block and the bits that choose in it.
func (f *filter) place(id *[16]byte) (block *[8]uint64, bits uint64) {
	high, low := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	return &f.blocks[high%uint64(len(f.blocks))], low
}

func (f *filter) add(id *[16]byte) {
	block, bits := f.place(id)
	for i := range block {
		block[i] |= 1 << (bits & 63)
		bits >>= 6
	}
	f.keys++
}

func (f *filter) has(id *[16]byte) bool {
	block, bits := f.place(id)
	for i := range block {
		if block[i]&(1<<(bits&63)) == 0 {
			return false
		}
		bits >>= 6
	}
	return true
}

// memory holds every key of a kind that a partition has, as filters by
// generation. Its zero value holds nothing and is not complete.
type memory struct {
	// complete: a key that is in no filter is not in the store either.
	complete bool
	keys     int
	by       []generationKeys
}

// generationKeys are the filters of a generation.
type generationKeys struct {
	generation uint32
	filters    []*filter
}

func newMemory() memory { return memory{complete: true} }

// remember adds a key of a generation. A memory that would grow too large is
// given up until it is built again.
func (m *memory) remember(generation uint32, id *[16]byte) {
	if !m.complete {
		return
	}
	if m.keys++; m.keys > filterMost {
		*m = memory{}
		return
	}
	i := slices.IndexFunc(m.by, func(k generationKeys) bool { return k.generation == generation })
	if i < 0 {
		i, m.by = len(m.by), append(m.by, generationKeys{generation: generation})
	}
	of := &m.by[i]
	if n := len(of.filters); n == 0 || of.filters[n-1].full() {
		of.filters = append(of.filters, newFilter(filterFirst<<n))
	}
	of.filters[len(of.filters)-1].add(id)
}

// lapse forgets the generations before one.
func (m *memory) lapse(before uint32) {
	m.by = slices.DeleteFunc(m.by, func(k generationKeys) bool {
		if k.generation >= before {
			return false
		}
		for _, f := range k.filters {
			m.keys -= f.keys
		}
		return true
	})
}

// mayKnow reports whether a key may be in the store.
func (m *memory) mayKnow(id *[16]byte) bool {
	if !m.complete {
		return true
	}
	for i := range m.by {
		for _, f := range m.by[i].filters {
			if f.has(id) {
				return true
			}
		}
	}
	return false
}
