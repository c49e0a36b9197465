package lifecycle_test

import (
	"testing"

	"github.com/baton-router/baton/pkg/lifecycle"
)

func TestLockIsTakenOnce(t *testing.T) {
	t.Parallel()
	l := lifecycle.NewLock()
	for range 2 {
		if !l.TryLock() || l.TryLock() {
			t.Fatal("a free lock was not taken, or a taken one twice")
		}
		l.Unlock()
		l.Lock()
		if l.TryLock() {
			t.Fatal("taken twice")
		}
		l.Unlock()
	}
}
