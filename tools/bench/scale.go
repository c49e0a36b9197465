package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// beyond is where the memory per idle thread is counted from.
const beyond = 100_000

const (
	// scaleRate is a load in events per second that every number of threads takes.
	scaleRate = 1000
	// scaleSeen are the events that an installation has seen at least when it is
	// measured: one of few threads is not a young one. scaleEvents are those that
	// are measured: as many as come between two of the store's compactions, or more,
	// but for the large ones of ten million threads, of which runs differ by some.
	scaleSeen, scaleEvents = 1_000_000, 400_000
)

// scaleTurns is how many pieces the load on an installation is cut into: the one
// of the fewest threads has one in between each time, so that whatever else the
// machine does meets both.
const scaleTurns = 4

// scale measures installations with more and more threads, one app each: what
// an event and an idle thread take, and how long a restart does.
func (b *bench) scale(ctx context.Context) error {
	return b.scaleOf(ctx, min(10_000, b.size.largest), func(few *batonStage, name string) error {
		if _, err := b.scaled(ctx, few, nil, name); err != nil {
			return err
		}
		return b.more(ctx, few)
	})
}

// scaleOf starts an installation of so many threads to come.
func (b *bench) scaleOf(ctx context.Context, threads int, measure func(s *batonStage, name string) error) error {
	name := "scale/" + report.Grouped(threads) + " threads"
	err := b.onBaton(ctx, name, 1, threads, setup{maxBatch: 20, cold: true}, func(s *batonStage) error { return measure(s, name) })
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// more measures installations of more threads beside one of few.
func (b *bench) more(ctx context.Context, few *batonStage) error {
	base := 0.0
	for _, threads := range []int{beyond, 1_000_000, 10_000_000} {
		if threads > min(b.options.threads, b.size.largest) {
			b.report.Skip(fmt.Sprintf("scale: %d threads: without --quick, --threads %d", threads, threads))
			continue
		}
		err := b.scaleOf(ctx, threads, func(s *batonStage, name string) error {
			resident, err := b.scaled(ctx, s, few, name)
			if err == nil && threads == beyond {
				base = resident
			}
			if err == nil && threads > beyond {
				b.note(name+"/memory per idle thread", report.Bytes, (resident-base)*(1<<20)/float64(threads-beyond))
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scaled fills an installation with threads and measures it, beside one of few
// threads unless it is that. It returns what is resident after a restart: the
// threads, without what their coming has left.
func (b *bench) scaled(ctx context.Context, s, few *batonStage, name string) (resident float64, err error) {
	filled, err := s.warm(ctx)
	if err != nil {
		return 0, err
	}
	b.note(name+"/filled at", report.PerSecond, filled.rate())
	b.note(name+"/CPU per first event", report.Micros, perEvent(filled.router, filled.events))
	if err := b.published(ctx, s, name, filled.events); err != nil {
		return 0, err
	}
	disk, err := proc.DirBytes(filepath.Join(s.dir, "data"))
	if err != nil {
		return 0, err
	}
	b.note(name+"/disk per event", report.Bytes, float64(disk)/float64(filled.events))
	if err := b.seen(ctx, s); err != nil {
		return 0, err
	}
	o, err := b.loaded(ctx, s, few, name)
	if err != nil {
		return 0, err
	}
	// Fuller batches take less for an event, so it also counts at one rate for all.
	paced, err := b.whole(ctx, s, shape{during: b.size.paced, perPost: 20, rate: scaleRate})
	if err != nil {
		return 0, err
	}
	b.note(fmt.Sprintf("%s/CPU per event at %d per s", name, scaleRate), report.Micros, perEvent(paced.router, paced.events))
	if err := b.profileScale(ctx, s, name); err != nil {
		return 0, err
	}
	if err := b.idle(ctx, s, name); err != nil { // the cursors are saved meanwhile
		return 0, err
	}
	if err := s.crash(ctx, b.options.baton); err != nil {
		return 0, err
	}
	b.note(name+"/restart", report.Seconds, s.up.Seconds())
	b.note(name+"/CPU of the restart", report.Seconds, s.upUse.CPU.Seconds())
	if resident, err = b.resident(ctx, s); err != nil {
		return 0, err
	}
	b.note(name+"/memory after restart", report.MiB, resident)
	b.say("%-40s %8.0f /s  %6.1f us CPU per event  restart %.2f s  %.0f MiB", name, o.rate(), perEvent(o.router, o.events), s.up.Seconds(), resident)
	_, err = s.play(ctx, shape{events: min(s.threads, 10_000), perPost: 20})
	return resident, err
}

// loaded puts a load on an installation, and the same on one of few threads, in
// turn. It returns what came of the first; both count.
func (b *bench) loaded(ctx context.Context, s, few *batonStage, name string) (outcome, error) {
	sides := []*batonStage{s}
	if few != nil {
		sides = append(sides, few)
	}
	came := make([]outcome, len(sides))
	for turn := range scaleTurns {
		for i := range sides {
			i = (i + turn) % len(sides) // neither is always the first
			o, err := b.whole(ctx, sides[i], shape{events: min(scaleEvents, b.size.largest) / scaleTurns, perPost: 20})
			if err != nil {
				return o, err
			}
			came[i].events += o.events
			came[i].took += o.took
			came[i].router.CPU += o.router.CPU
		}
	}
	b.note(name+"/webhooks", report.PerSecond, came[0].rate())
	b.note(name+"/CPU per event", report.Micros, perEvent(came[0].router, came[0].events))
	if few != nil {
		b.note(name+"/"+fewBeside, report.Micros, perEvent(came[1].router, came[1].events))
	}
	return came[0], nil
}

// fewBeside is what an event takes of the installation of few threads meanwhile.
const fewBeside = "CPU per event with the fewest, in turn"

// seen posts what is missing to scaleSeen, and waits until Baton is quiet again.
func (b *bench) seen(ctx context.Context, s *batonStage) error {
	missing := min(scaleSeen, b.size.largest) - s.threads
	if missing <= 0 {
		return nil
	}
	if _, err := s.play(ctx, shape{events: missing, perPost: perWarm}); err != nil {
		return err
	}
	return b.quiet(ctx, s)
}

// whole measures a load from a quiet Baton to a quiet one: what it leaves to be
// done later, compactions above all, counts, and what was left by others does not.
func (b *bench) whole(ctx context.Context, s *batonStage, sh shape) (o outcome, err error) {
	before, err := s.baton.usage()
	if err != nil {
		return o, err
	}
	if o, err = s.play(ctx, sh); err != nil {
		return o, err
	}
	if err := b.quiet(ctx, s); err != nil {
		return o, err
	}
	after, err := s.baton.usage()
	o.router = after.Since(before)
	return o, err
}

const (
	// quietShare is the share of a processor that a Baton takes without work, and
	// some more.
	quietShare = 0.04
	quietLooks = 100
)

// quiet waits until Baton does nothing any more, or not for ever.
func (b *bench) quiet(ctx context.Context, s *batonStage) error {
	for range quietLooks {
		before, err := s.baton.usage()
		if err != nil {
			return err
		}
		if err := traffic.Pause(ctx, b.size.idle/2); err != nil {
			return err
		}
		after, err := s.baton.usage()
		if err != nil {
			return err
		}
		if after.Since(before).CPU.Seconds() < quietShare*(b.size.idle/2).Seconds() {
			return nil
		}
	}
	return nil
}

// published waits until the topic has what the threads' first events have
// changed, and nothing else is left of that work once the events are delivered.
func (b *bench) published(ctx context.Context, s *batonStage, name string, events int) error {
	before, err := s.baton.usage()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.onTopic(ctx); err != nil {
		return err
	}
	b.note(name+"/on the topic after", report.Seconds, time.Since(began).Seconds())
	if err := b.quiet(ctx, s); err != nil {
		return err
	}
	after, err := s.baton.usage()
	if err != nil {
		return err
	}
	b.note(name+"/CPU per first event after delivery", report.Micros, perEvent(after.Since(before), events))
	return nil
}

// profileScale keeps a profile of the load, which does not count.
func (b *bench) profileScale(ctx context.Context, s *batonStage, name string) error {
	dir, err := b.profileFolder()
	if err != nil {
		return err
	}
	err = b.oneProfile(ctx, s, "profile", filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+"-profile"), func(d time.Duration) error {
		_, err := s.play(ctx, shape{during: d, perPost: 20})
		return err
	})
	if err != nil {
		return err
	}
	return b.quiet(ctx, s)
}

// idle measures what a Baton without work takes.
func (b *bench) idle(ctx context.Context, s *batonStage, name string) error {
	resident, err := b.resident(ctx, s)
	if err != nil {
		return err
	}
	before, err := s.baton.usage()
	if err != nil {
		return err
	}
	if err := traffic.Pause(ctx, b.size.idle); err != nil {
		return err
	}
	after, err := s.baton.usage()
	if err != nil {
		return err
	}
	dir, err := b.profileFolder()
	if err != nil {
		return err
	}
	if err := s.take(ctx, "heap", "heap", filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+"-heap")); err != nil {
		return err
	}
	b.note(name+"/memory after load", report.MiB, resident)
	b.note(name+"/idle CPU", report.Percent, 100*after.Since(before).CPU.Seconds()/b.size.idle.Seconds())
	return nil
}
