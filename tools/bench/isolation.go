package main

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// The apps of the isolation measurement: three that are well, and one that is
// made slow, one that is made dead.
const (
	slowApp    = 3
	deadApp    = 4
	isolated   = 5
	slowAnswer = 3 * time.Second
)

// isolation measures the apps that are well while another is slow, and while
// another is dead with a backlog, against the same run before.
func (b *bench) isolation(ctx context.Context) error {
	return b.onBaton(ctx, "isolation", isolated, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		if err := b.others(ctx, s, "isolation/all well", 0, 1, 2); err != nil {
			return err
		}
		if err := s.behave(slowApp, 200, slowAnswer); err != nil {
			return err
		}
		if err := b.others(ctx, s, "isolation/slow app", 0, 1, 2); err != nil {
			return err
		}
		if err := s.behave(slowApp, 200, 0); err != nil {
			return err
		}
		return b.dead(ctx, s)
	})
}

// others measures the delay at some apps under the quiet load.
func (b *bench) others(ctx context.Context, s *batonStage, name string, apps ...int) error {
	sh := steady(pacedRate, b.size.isolation)
	sh.apps = apps
	o, err := s.play(ctx, sh)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.note(name+"/p50 of the others", report.Millis, millis(o.latency.P50))
	b.note(name+"/p99 of the others", report.Millis, millis(o.latency.P99))
	b.note(name+"/CPU per event", report.Micros, perEvent(o.router, o.events))
	b.say("%-40s p50 %.2f  p99 %.2f ms of the others", name, millis(o.latency.P50), millis(o.latency.P99))
	return nil
}

// dead lets a backlog wait for an app that refuses everything.
func (b *bench) dead(ctx context.Context, s *batonStage) error {
	const name = "isolation/dead app"
	backlog := min(b.options.backlog, b.size.largest)
	// Caches fill and buffers grow under any load: first the same to apps that
	// are all well.
	if _, err := s.play(ctx, shape{events: min(backlog, 100_000), perPost: perWarm, apps: []int{0, 1, 2, deadApp}}); err != nil {
		return fmt.Errorf("%s: before: %w", name, err)
	}
	before, err := b.resident(ctx, s)
	if err != nil {
		return err
	}
	if err := s.behave(deadApp, 503, 0); err != nil {
		return err
	}
	if _, err := s.play(ctx, shape{events: backlog, perPost: perWarm, apps: []int{0, 1, 2}}); err != nil {
		return fmt.Errorf("%s: the backlog: %w", name, err)
	}
	after, err := b.resident(ctx, s)
	if err != nil {
		return err
	}
	b.note(name+"/events waiting", report.Count, float64(backlog))
	b.note(name+"/memory before", report.MiB, before)
	b.note(name+"/memory grown", report.MiB, after-before)
	return b.others(ctx, s, name, 0, 1, 2)
}

// behave tells an app how to answer from now on.
func (s *stage) behave(app, status int, delay time.Duration) error {
	_, err := s.order(traffic.SinkOrder{Do: "behave", Apps: []int{app}, Status: status, Delay: delay})
	return err
}
