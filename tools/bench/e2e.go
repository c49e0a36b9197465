package main

import (
	"context"
	"fmt"
	"time"

	"github.com/baton-router/baton/tools/bench/report"
)

// subscribers of the usual measurement: an owner and two on standby.
const subscribers = 3

// pacedRate is the quiet load, events per second, that Baton and the baseline
// are both given.
const pacedRate = 300

// endToEnd measures webhooks from the POST of the platform to the POST at the
// last app.
func (b *bench) endToEnd(ctx context.Context) error {
	for _, maxBatch := range []int{20, 1} {
		if err := b.saturated(ctx, maxBatch); err != nil {
			return err
		}
	}
	if err := b.quietLoad(ctx); err != nil {
		return err
	}
	if err := b.fromBacklog(ctx); err != nil {
		return err
	}
	for _, apps := range b.size.crowd {
		if err := b.crowded(ctx, apps); err != nil {
			return err
		}
	}
	return nil
}

// saturated loads as fast as events are taken, with one and with twenty per
// POST; then at half of what it took, with one.
func (b *bench) saturated(ctx context.Context, maxBatch int) error {
	name := fmt.Sprintf("e2e/batch %d", maxBatch)
	return b.onBaton(ctx, name, subscribers, b.size.threads, setup{maxBatch: maxBatch}, func(s *batonStage) error {
		one, err := b.play(ctx, s, name+"/1 per POST", shape{during: b.size.saturated, perPost: 1})
		if err != nil {
			return err
		}
		if _, err := b.play(ctx, s, name+"/20 per POST", shape{during: b.size.saturated, perPost: 20}); err != nil {
			return err
		}
		return b.paced(ctx, s, name+"/at half of that", one.rate()/2)
	})
}

// quietLoad measures the delay under the quiet load, in turn with batching and
// without.
func (b *bench) quietLoad(ctx context.Context) error {
	const name = "e2e/batch %d/at 300 per s"
	var sides [2]*quietly
	side := func(i, maxBatch int, further func() error) error {
		sides[i] = &quietly{name: fmt.Sprintf(name, maxBatch)}
		return b.onBaton(ctx, sides[i].name, subscribers, b.size.threads, setup{maxBatch: maxBatch}, func(s *batonStage) error {
			sides[i].stage = s
			return further()
		})
	}
	err := side(0, 20, func() error {
		return side(1, 1, func() error { return b.inTurn(ctx, sides) })
	})
	if err != nil {
		return err
	}
	for _, s := range sides {
		b.noteDelay(s.name, s.came)
	}
	return nil
}

// play measures a load on Baton and notes what it took.
func (b *bench) play(ctx context.Context, s *batonStage, name string, sh shape) (outcome, error) {
	before, err := s.allocations(ctx)
	if err != nil {
		return outcome{}, err
	}
	o, err := s.play(ctx, sh)
	if err != nil {
		return o, fmt.Errorf("%s: %w", name, err)
	}
	after, err := s.allocations(ctx)
	if err != nil {
		return o, err
	}
	b.noteLoad(name, o)
	b.note(name+"/objects allocated per event", report.Count, (after.objects-before.objects)/float64(o.events))
	b.note(name+"/bytes allocated per event", report.Bytes, (after.bytes-before.bytes)/float64(o.events))
	b.note(name+"/bytes written per event", report.Bytes, float64(o.router.Written)/float64(o.events))
	b.note(name+"/CPU of load and apps per event", report.Micros, perEvent(o.load, o.events)+perEvent(o.sink, o.events))
	return o, nil
}

// noteLoad notes what is known of every router.
func (b *bench) noteLoad(name string, o outcome) {
	b.note(name+"/webhooks", report.PerSecond, o.rate())
	b.note(name+"/CPU per event", report.Micros, perEvent(o.router, o.events))
	b.say("%-40s %8.0f /s  %6.1f us CPU per event  p99 %.2f ms", name, o.rate(), perEvent(o.router, o.events), millis(o.latency.P99))
}

// paced measures the time from POST to delivery under a steady load.
func (b *bench) paced(ctx context.Context, s *batonStage, name string, rate float64) error {
	o, err := s.play(ctx, steady(rate, b.size.paced))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	b.noteDelay(name, o)
	return nil
}

// steady is a load of one event per POST for a time.
func steady(rate float64, d time.Duration) shape { return shape{during: d, perPost: 1, rate: rate} }

func (b *bench) noteDelay(name string, o outcome) {
	b.note(name+"/p50", report.Millis, millis(o.latency.P50))
	b.note(name+"/p99", report.Millis, millis(o.latency.P99))
	b.note(name+"/p99.9", report.Millis, millis(o.latency.P999))
	b.note(name+"/CPU per event", report.Micros, perEvent(o.router, o.events))
	b.say("%-40s %8.0f /s  %6.1f us CPU per event  p50 %.2f  p99 %.2f  p99.9 %.2f ms", name, perSecond(o.events, o.accepted),
		perEvent(o.router, o.events), millis(o.latency.P50), millis(o.latency.P99), millis(o.latency.P999))
}

// fromBacklog lets events wait for apps that are paused, and measures what it
// takes from the first webhook to the last delivery of all of them.
func (b *bench) fromBacklog(ctx context.Context) error {
	const name = "e2e/backlog"
	return b.onBaton(ctx, name, subscribers, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		in, err := s.hoard(ctx, b.size.saturated)
		if err != nil {
			return err
		}
		out, err := s.drain(ctx, in.events)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.note(name+"/webhooks taken", report.PerSecond, perSecond(in.events, in.accepted))
		b.note(name+"/events delivered", report.PerSecond, perSecond(in.events, out.took))
		b.note(name+"/CPU per event taken", report.Micros, perEvent(in.router, in.events))
		b.note(name+"/CPU per event delivered", report.Micros, perEvent(out.router, in.events))
		total := perEvent(in.router, in.events) + perEvent(out.router, in.events)
		b.note(name+"/CPU per event", report.Micros, total)
		b.say("%-40s %8.0f /s in, %.0f /s out  %6.1f us CPU per event", name, perSecond(in.events, in.accepted), perSecond(in.events, out.took), total)
		return nil
	})
}

// hoard pauses every app and lets events wait for it.
func (s *batonStage) hoard(ctx context.Context, d time.Duration) (o outcome, err error) {
	for app := range s.callbacks {
		if err := s.steer(ctx, app, "pause"); err != nil {
			return o, err
		}
	}
	return s.play(ctx, shape{during: d, perPost: 20, undelivered: true})
}

// drain resumes every app and waits until the events that wait are delivered.
func (s *batonStage) drain(ctx context.Context, events int) (o outcome, err error) {
	before, err := s.usages()
	if err != nil {
		return o, err
	}
	began := time.Now()
	for app := range s.callbacks {
		if err := s.steer(ctx, app, "resume"); err != nil {
			return o, err
		}
	}
	return s.awaited(before, began, events)
}

// crowded measures other numbers of subscribers.
func (b *bench) crowded(ctx context.Context, apps int) error {
	name := fmt.Sprintf("e2e/%d subscribers", apps)
	return b.onBaton(ctx, name, apps, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		o, err := s.play(ctx, shape{during: b.size.saturated / 2, perPost: 1})
		if err == nil {
			b.noteLoad(name, o)
			b.note(name+"/deliveries", report.PerSecond, o.rate()*float64(apps))
		}
		return err
	})
}
