package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/baton-router/baton/tools/bench/traffic"
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

// onTopic waits until every control change is on the topic: what a load leaves
// to be done there is not the next load's.
func (b *baton) onTopic(ctx context.Context) error {
	for {
		text, err := b.get(ctx, "/metrics")
		if err != nil {
			return err
		}
		lag, err := metric(string(text), "baton_control_topic_lag_events")
		if err != nil || lag == 0 {
			return err
		}
		if err := traffic.Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
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
