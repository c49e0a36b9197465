package console

import (
	"net/http"
	"net/http/pprof"
	"runtime"
	"sync"
)

// How much of what waits is sampled while somebody asks.
const (
	blockRate     = 10_000 // ns of waiting per sample
	mutexFraction = 100    // contended unlocks per sample
)

// waiting serves a profile of what waits, block or mutex, of the next
// ?seconds=N. Sampling costs time at every wait, so it is on only as long as
// such a request is under way.
type waiting struct {
	profile  string
	sampling func(on bool)
	mu       sync.Mutex
	asking   int
}

func newWaiting(profile string) *waiting {
	w := &waiting{profile: profile, sampling: func(on bool) {
		if on {
			runtime.SetBlockProfileRate(blockRate)
		} else {
			runtime.SetBlockProfileRate(0)
		}
	}}
	if profile == "mutex" {
		w.sampling = func(on bool) {
			if on {
				runtime.SetMutexProfileFraction(mutexFraction)
			} else {
				runtime.SetMutexProfileFraction(0)
			}
		}
	}
	return w
}

func (w *waiting) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.FormValue("seconds") != "" {
		w.ask(1)
		defer w.ask(-1)
	}
	pprof.Handler(w.profile).ServeHTTP(rw, r)
}

// ask counts who asks: the first turns sampling on, the last off.
func (w *waiting) ask(more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.asking
	w.asking += more
	if (before == 0) != (w.asking == 0) {
		w.sampling(w.asking > 0)
	}
}
