package eventlog

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// EachOf calls do for each of these partitions, as many at once as there are
// processors: nothing in a log refers to another partition. It blocks until all
// calls have returned, and returns what they returned, in the order of
// partitions. After an error no more partitions are begun, all of those before it
// are ended, and the first error in that order is returned; what is returned of
// the others ends with that partition's. So nothing that it returns depends on
// which call was faster.
func EachOf[P, T any](partitions []P, do func(P) (T, error)) ([]T, error) {
	found, faults := make([]T, len(partitions)), make([]error, len(partitions))
	var next atomic.Int64
	var stop atomic.Bool
	var running sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(partitions)) {
		running.Go(func() {
			for !stop.Load() {
				i := next.Add(1) - 1
				if i >= int64(len(partitions)) {
					return
				}
				if found[i], faults[i] = do(partitions[i]); faults[i] != nil {
					stop.Store(true)
				}
			}
		})
	}
	running.Wait()
	for i, err := range faults {
		if err != nil {
			return found[:i+1], err
		}
	}
	return found, nil
}
