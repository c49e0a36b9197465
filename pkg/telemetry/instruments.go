package telemetry

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of the labels of one metric. What is beyond them is counted under the
// value "other": a metric never grows with its input.
const (
	maxChildren   = 2000
	maxLabelBytes = 64
	labelOther    = "other"
)

// Counter counts up. The zero value counts nothing. Safe for concurrent use.
type Counter struct{ c prometheus.Counter }

// Inc adds one.
func (c Counter) Inc() { c.Add(1) }

// Add adds n, which is not negative.
func (c Counter) Add(n int) {
	if c.c != nil && n > 0 {
		c.c.Add(float64(n))
	}
}

// Gauge is a value that goes up and down. The zero value forgets everything.
// Safe for concurrent use.
type Gauge struct{ g prometheus.Gauge }

// Set replaces the value.
func (g Gauge) Set(v float64) {
	if g.g != nil {
		g.g.Set(v)
	}
}

// Add adds v, which may be negative.
func (g Gauge) Add(v float64) {
	if g.g != nil {
		g.g.Add(v)
	}
}

// Histogram counts durations. The zero value counts nothing. Safe for
// concurrent use.
type Histogram struct{ o prometheus.Observer }

// Observe counts one duration.
func (h Histogram) Observe(d time.Duration) {
	if h.o != nil {
		h.o.Observe(d.Seconds())
	}
}

// CounterVec is a counter per combination of labels. Safe for concurrent use.
type CounterVec struct{ *children[Counter] }

// GaugeVec is a gauge per combination of labels. Safe for concurrent use.
type GaugeVec struct{ *children[Gauge] }

// HistogramVec is a histogram per combination of labels. Safe for concurrent
// use.
type HistogramVec struct{ *children[Histogram] }

// children makes and remembers the instruments of a vector, so that a look-up
// on a hot path is one map read.
type children[T any] struct {
	labels int
	make   func(values []string) T
	drop   func(values []string)
	mu     struct { // make and drop are called under it; both are quick
		sync.RWMutex
		byLabels map[string]T
	}
}

func newChildren[T any](labels int, create func([]string) T, drop func([]string)) *children[T] {
	c := &children[T]{labels: labels, make: create, drop: drop}
	c.mu.byLabels = make(map[string]T)
	return c
}

// With returns the instrument for the values of the labels, in the order of the
// table. Keep it where it is used often. Without a registry (nil) it returns
// the zero value, which does nothing; a wrong number of values is a broken
// invariant and panics.
func (c *children[T]) With(values ...string) T {
	if c == nil {
		var none T
		return none
	}
	var room [128]byte // this is called several times for each event
	key := room[:0]
	for i, v := range values {
		if i > 0 {
			key = append(key, '\xff')
		}
		key = append(key, v...)
	}
	c.mu.RLock()
	child, ok := c.mu.byLabels[string(key)]
	c.mu.RUnlock()
	if ok {
		return child
	}
	return c.add(string(key), slices.Clone(values))
}

func (c *children[T]) add(key string, values []string) T {
	if len(values) != c.labels {
		panic("telemetry: metric with another number of labels: " + strings.Join(values, ", ")) //nolint:forbidigo // a broken invariant: the table and its user disagree
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if child, ok := c.mu.byLabels[key]; ok {
		return child
	}
	if len(c.mu.byLabels) >= maxChildren {
		return c.make(others(len(values)))
	}
	child := c.make(bounded(values))
	c.mu.byLabels[key] = child
	return child
}

// Forget removes the instrument for the values of the labels, for example of an
// app that is gone.
func (c *children[T]) Forget(values ...string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.byLabels, strings.Join(values, "\xff"))
	c.drop(bounded(values))
}

func others(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = labelOther
	}
	return values
}

// bounded returns label values that are short, valid text.
func bounded(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		if len(v) > maxLabelBytes {
			v = v[:maxLabelBytes]
		}
		out[i] = strings.ToValidUTF8(v, "?")
	}
	return out
}
