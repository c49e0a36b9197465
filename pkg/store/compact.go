package store

import (
	"fmt"
	"runtime"
	"sync/atomic"
)

// compacting says how many compactions may run.
type compacting struct{ later atomic.Bool }

// most is what Pebble asks: how many compactions may run, and how many when it has
// fallen far behind. The first of them it adds to with its backlog, so that also
// a store in which compactions wait cannot become one that nobody can read.
func (c *compacting) most() (usual, behind int) {
	behind = max(2, runtime.GOMAXPROCS(0)/2)
	if c.later.Load() {
		return 0, behind
	}
	return 1, behind
}

// Compact lets compactions run in a store that was opened with CompactLater; else,
// and when it is called again, it does nothing. It does not wait for any.
func (s *Store) Compact() error {
	if !s.compacts.later.CompareAndSwap(true, false) || s.readOnly {
		return nil
	}
	// The engine asks again when its files have changed.
	if _, err := s.db.AsyncFlush(); err != nil {
		return fmt.Errorf("store: compactions: %w", err)
	}
	return nil
}
