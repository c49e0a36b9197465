package console

import (
	"runtime"
	"testing"
)

// TestWaitingIsSampledOnlyWhileAsked: mutex sampling has a setting that can be
// read. No other test of the package touches it.
func TestWaitingIsSampledOnlyWhileAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/debug/pprof/block", "/debug/pprof/mutex"} {
		if got, body := w.get(path); got != 200 || len(body) == 0 {
			t.Errorf("%s: %d, %d bytes", path, got, len(body))
		}
	}
	mutex := newWaiting("mutex")
	for _, step := range []struct{ more, want int }{{1, mutexFraction}, {1, mutexFraction}, {-1, mutexFraction}, {-1, 0}, {1, mutexFraction}, {-1, 0}} {
		mutex.ask(step.more)
		if got := runtime.SetMutexProfileFraction(-1); got != step.want {
			t.Errorf("after %+d the fraction is %d, want %d", step.more, got, step.want)
		}
	}
}
