package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// garbage is what a Go program has allocated so far.
type garbage struct{ objects, bytes float64 }

// allocations reads Baton's own count.
func (b *baton) allocations(ctx context.Context) (g garbage, err error) {
	text, err := b.get(ctx, "/metrics")
	if err != nil {
		return g, err
	}
	if g.objects, err = metric(string(text), "go_memstats_mallocs_total"); err != nil {
		return g, err
	}
	g.bytes, err = metric(string(text), "go_memstats_alloc_bytes_total")
	return g, err
}

// metric is the value of a metric without labels.
func metric(text, name string) (float64, error) {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key == name {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}
