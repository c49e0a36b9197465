package store_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// TestReadOnceLeavesTheCacheAlone: a scan fills the block cache, but not while
// somebody reads once; also when two do, and one of them is done.
func TestReadOnceLeavesTheCacheAlone(t *testing.T) {
	t.Parallel()
	disk := storetest.NewDisk()
	o := store.Options{Dir: "store", FS: disk.FS(), CacheBytes: 24 << 20, MemTableBytes: 1 << 20}
	s, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	p, r := partition(t, s, 0), rand.New(rand.NewPCG(1, 2))
	const rows = 300_000
	moves := make([]store.Move, 1000)
	for range rows / len(moves) {
		for i := range moves {
			moves[i] = store.Move{Thread: control.ThreadKey{Asset: r.Uint64(), Person: r.Uint64()}, Due: control.Millis(r.Int64())}
		}
		if err := p.Rearm(moves...); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	if s, err = store.Open(o); err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	p = partition(t, s, 0)
	held := func() int64 {
		if found, err := p.Timers(math.MaxInt64, 0); err != nil || len(found) != rows {
			t.Fatalf("%d rows, %v", len(found), err)
		}
		return s.Use().CacheBytes
	}
	const little, much = 5 << 20, 6 << 20
	done, other := s.ReadOnce(), s.ReadOnce()
	if got := held(); got > little {
		t.Errorf("who reads once leaves %d bytes in the cache", got)
	}
	other()
	if got := held(); got > little {
		t.Errorf("when one of two is done, %d bytes are in the cache", got)
	}
	done()
	if got := held(); got < much {
		t.Errorf("a scan leaves %d bytes in the cache", got)
	}
}
