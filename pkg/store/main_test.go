package store_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(failingDir); dir != "" {
		fmt.Fprintln(os.Stderr, meetFault(dir))
		os.Exit(3)
	}
	goleak.VerifyTestMain(m)
}

// fatal is what testing.T and rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func open(t fatal, fs store.FS) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{
		Dir: "store", FS: fs, CacheBytes: 1 << 20, MemTableBytes: 16 << 10,
		Exit: func(reason string) { panic(reason) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t fatal, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// opened is a store in memory that the test closes.
func opened(t *testing.T) *store.Store {
	t.Helper()
	s := open(t, storetest.NewDisk().FS())
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func partition(t fatal, s *store.Store, n int) *store.Partition {
	t.Helper()
	p, err := s.Partition(n)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// changes folds a record into states as they are in p, as a holder does in
// memory.
func changes(t fatal, p *store.Partition, r *eventlog.Record) []store.Change {
	t.Helper()
	index := map[control.ThreadKey]int{}
	var touched []store.Change
	for i := range r.Entries {
		e := &r.Entries[i]
		if !e.Evolves() {
			continue
		}
		n, known := index[e.Thread]
		if !known {
			s, _, err := p.State(e.Thread)
			if err != nil {
				t.Fatal(err)
			}
			n = len(touched)
			index[e.Thread] = n
			touched = append(touched, store.Change{Thread: e.Thread, State: s})
		}
		touched[n].State = control.Evolve(touched[n].State, e.Event)
	}
	return touched
}

func apply(t fatal, p *store.Partition, r *eventlog.Record, raw []byte, sequence uint64) {
	t.Helper()
	if err := p.Apply(r, raw, sequence, changes(t, p, r)); err != nil {
		t.Fatal(err)
	}
}
