package graphapi

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
)

var oneLane = lane{control.ThreadKey{Asset: 1, Person: 2}, 3}

func TestLaneServesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(10)
		leave, err := l.enter(t.Context(), oneLane, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var order []int
		for i := range 5 {
			go func() {
				leave, err := l.enter(t.Context(), oneLane, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				leave()
			}()
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4}, order); diff != "" {
			t.Error(diff)
		}
		if len(l.mu.open) != 0 {
			t.Errorf("%d lanes stay open", len(l.mu.open))
		}
	})
}

func TestLaneIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1)
		leave, err := l.enter(t.Context(), oneLane, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { _, err := l.enter(ctx, oneLane, time.Minute); left <- err }()
		synctest.Wait()
		if _, err := l.enter(t.Context(), oneLane, time.Minute); !errors.Is(err, errLaneFull) {
			t.Errorf("a second waiter: %v", err)
		}
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if _, err := l.enter(t.Context(), oneLane, time.Second); !errors.Is(err, errNoAnswer) {
			t.Errorf("a waiter past its time: %v", err)
		}
		leave()
		if len(l.mu.open) != 0 {
			t.Errorf("%d lanes stay open", len(l.mu.open))
		}
	})
}
