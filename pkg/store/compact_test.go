package store_test

import (
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

// TestCompactLater: each start after a crash flushes; what would be compacted then
// waits, over many starts, until it is asked for.
func TestCompactLater(t *testing.T) {
	t.Parallel()
	const starts = 7
	for _, later := range []bool{false, true} {
		o := store.Options{Dir: "store", FS: storetest.NewDisk().FS(), CompactLater: later}
		var s *store.Store
		for range starts {
			if s != nil {
				closeStore(t, s) // flushes nothing, and lets a compaction end
			}
			var err error
			if s, err = store.Open(o); err != nil {
				t.Fatal(err)
			}
			if err := partition(t, s, 0).Rearm(store.Move{Thread: control.ThreadKey{Asset: 1, Person: 2}, Due: 3}); err != nil {
				t.Fatal(err)
			}
		}
		if got := s.Use().Sublevels; (got == starts-1) != later {
			t.Errorf("%d flushes wait to be compacted after %d starts, compactions later: %v", got, starts, later)
		}
		for range 2 {
			if err := s.Compact(); err != nil {
				t.Fatal(err)
			}
		}
		poll := time.NewTicker(time.Millisecond)
		for s.Use().Sublevels > 2 {
			<-poll.C
		}
		poll.Stop()
		closeStore(t, s)
	}
}
