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
// another is dead with a backlog, against a second Baton with the same past where
// all are well.
func (b *bench) isolation(ctx context.Context) error {
	pair := func(name string, measure func(*batonStage) error) error {
		return b.onBaton(ctx, name, isolated, b.size.threads, setup{maxBatch: 20}, measure)
	}
	return pair("isolation", func(s *batonStage) error {
		return pair("isolation-well", func(well *batonStage) error {
			if err := s.behave(slowApp, 200, slowAnswer); err != nil {
				return err
			}
			if err := b.beside(ctx, "isolation/slow app", s, well); err != nil {
				return err
			}
			if err := s.behave(slowApp, 200, 0); err != nil {
				return err
			}
			return b.dead(ctx, s, well)
		})
	})
}

// beside measures the delay at the apps that are well under the quiet load, in turn
// beside a bad one and on the Baton where all are well.
func (b *bench) beside(ctx context.Context, name string, bad, well *batonStage) error {
	sides := [2]*quietly{{stage: bad, name: name}, {stage: well, name: name + "/all well"}}
	if err := b.inTurn(ctx, sides, 0, 1, 2); err != nil {
		return err
	}
	for _, side := range sides {
		latency := side.came.latency
		b.note(side.name+"/p50 of the others", report.Millis, millis(latency.P50))
		b.note(side.name+"/p99 of the others", report.Millis, millis(latency.P99))
		b.note(side.name+"/CPU per event", report.Micros, perEvent(side.came.router, side.came.events))
		b.say("%-40s p50 %.2f  p99 %.2f ms of the others", side.name, millis(latency.P50), millis(latency.P99))
	}
	return nil
}

// dead lets a backlog wait for an app that refuses everything.
func (b *bench) dead(ctx context.Context, s, well *batonStage) error {
	const name = "isolation/dead app"
	backlog := min(b.options.backlog, b.size.largest)
	// Caches fill and buffers grow under any load: first as many to apps that
	// are all well.
	for _, s := range []*batonStage{s, well} {
		if _, err := s.play(ctx, shape{events: backlog, perPost: perWarm, apps: []int{0, 1, 2, deadApp}}); err != nil {
			return fmt.Errorf("%s: before: %w", name, err)
		}
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
	if _, err := well.play(ctx, shape{events: backlog, perPost: perWarm}); err != nil {
		return fmt.Errorf("%s: the same events, all well: %w", name, err)
	}
	return b.beside(ctx, name, s, well)
}

// behave tells an app how to answer from now on.
func (s *stage) behave(app, status int, delay time.Duration) error {
	_, err := s.order(traffic.SinkOrder{Do: "behave", Apps: []int{app}, Status: status, Delay: delay})
	return err
}
