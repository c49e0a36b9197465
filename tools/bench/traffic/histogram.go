package traffic

import (
	"math/bits"
	"time"
)

// histogram counts durations in classes of at most 1.6 % width.
type histogram struct {
	classes [60 << fine]uint64
	count   uint64
	most    time.Duration
}

const fine = 6 // bits of resolution

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.classes[classOf(uint64(d))]++
	h.count++
	h.most = max(h.most, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.classes {
		h.classes[i] += n
	}
	h.count += o.count
	h.most = max(h.most, o.most)
}

// classOf numbers the classes: exact below 2^fine, then 2^fine to each power of
// two.
func classOf(n uint64) int {
	shift := max(bits.Len64(n)-fine-1, 0)
	return shift<<fine + int(n>>shift)
}

// top is the largest number of a class.
func top(class int) uint64 {
	shift := max(class>>fine-1, 0)
	return uint64(class-shift<<fine+1)<<shift - 1
}

// quantile returns the duration that a share q of all does not exceed, within a
// class; 0 of none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q * float64(h.count-1))
	for i, n := range h.classes {
		if n > rank {
			return min(time.Duration(top(i)), h.most)
		}
		rank -= n
	}
	return h.most
}

// Latency sums up durations.
type Latency struct {
	Count                uint64
	P50, P99, P999, Most time.Duration
}

func (h *histogram) latency() Latency {
	return Latency{Count: h.count, P50: h.quantile(.5), P99: h.quantile(.99), P999: h.quantile(.999), Most: h.most}
}
