package graphapi

import "sync/atomic"

// epochs remembers the highest epoch that answered for each partition: an
// answer of a lower one comes from a holder that was deposed.
type epochs struct{ highest []atomic.Uint64 }

func newEpochs(partitions int) *epochs { return &epochs{make([]atomic.Uint64, partitions)} }

// current reports whether an answer of this epoch counts.
func (e *epochs) current(partition int, epoch uint64) bool {
	for {
		seen := e.highest[partition].Load()
		if epoch < seen {
			return false
		}
		if epoch == seen || e.highest[partition].CompareAndSwap(seen, epoch) {
			return true
		}
	}
}
