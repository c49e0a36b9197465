package store

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// thriftBytes is what the block cache holds, beside a memtable, while much is
// read once.
const thriftBytes = 4 << 20

// thrift keeps what is read once out of the block cache. A start reads every
// thread and never again; the cache would be full of that, and stay so.
type thrift struct {
	cache   *pebble.Cache
	reserve int // bytes kept from the cache meanwhile

	mu sync.Mutex
	// readers read once now; giveBack gives the cache back when none does any
	// more.
	readers  int
	giveBack func()
}

// ReadOnce keeps the block cache small until done is called, for who reads many
// rows once. It may be called by several at a time; done must be called once.
func (s *Store) ReadOnce() (done func()) {
	t := &s.cache
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers++; t.readers == 1 {
		t.giveBack = t.cache.Reserve(t.reserve)
	}
	return t.done
}

func (t *thrift) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers--; t.readers == 0 {
		t.giveBack()
	}
}
