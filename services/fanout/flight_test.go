package fanout

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlightIsAContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFlight(context.WithValue(t.Context(), testApp, "x"))
		begun := time.Now()
		f.begin(time.Second)
		child, cancel := context.WithTimeout(f, time.Hour)
		defer cancel()
		called := make(chan struct{})
		context.AfterFunc(f, func() { close(called) })
		if at, ok := f.Deadline(); !ok || at.Sub(begun) != time.Second || f.Err() != nil || f.Value(testApp) != "x" {
			t.Fatalf("%v %v %v", at, ok, f.Err())
		}
		for _, ended := range []<-chan struct{}{f.Done(), child.Done(), called} {
			<-ended
			if took := time.Since(begun); took != time.Second {
				t.Errorf("ended after %v", took)
			}
		}
		if !errors.Is(f.Err(), context.DeadlineExceeded) || !errors.Is(child.Err(), context.DeadlineExceeded) {
			t.Errorf("%v, %v", f.Err(), child.Err())
		}
		late := make(chan struct{})
		if stop := f.AfterFunc(func() { close(late) }); stop() {
			t.Error("stopped what was begun")
		}
		<-late
	})
}

func TestFlightBeginsAgainOnlyUnheard(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		during func(f *flight)
		again  bool
	}{
		"nothing":   {func(*flight) {}, true},
		"watched":   {func(f *flight) { f.AfterFunc(func() {})() }, true},
		"asked":     {func(f *flight) { _, _ = f.Err(), f.Value(1) }, true},
		"listened":  {func(f *flight) { f.Done() }, false},
		"unstopped": {func(f *flight) { f.AfterFunc(func() {}) }, false},
		"stopped":   {func(f *flight) { f.end(context.Canceled) }, false},
		"too late":  {func(*flight) { pass(time.Second) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFlight(t.Context())
				for range 3 {
					f.begin(time.Second)
					pass(900 * time.Millisecond)
					c.during(f)
					if again := f.land(); again != c.again {
						t.Fatalf("begins again: %v", again)
					}
					if !c.again {
						<-f.Done()
						if f.Err() == nil {
							t.Error("ended without an error")
						}
						return
					}
				}
				pass(time.Hour)
				if f.Err() != nil {
					t.Errorf("landed, and yet %v", f.Err())
				}
			})
		})
	}
}
