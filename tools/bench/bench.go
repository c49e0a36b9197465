package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/tools/bench/report"
)

// part is one question that a run answers.
type part struct {
	name string
	what string
	// once parts are measured in the first round alone: they take long.
	once    bool
	measure func(*bench, context.Context) error
}

// parts in the order in which a round measures them.
var parts = []part{
	{"floors", "what HTTP, the disk and JetStream allow at most", false, (*bench).floors},
	{"e2e", "webhooks, end to end", false, (*bench).endToEnd},
	{"baseline", "the same load on a router of one file and PostgreSQL", false, (*bench).baseline},
	{"control", "changes of control by the Graph API", false, (*bench).control},
	{"isolation", "what a slow and a dead app cost the others", false, (*bench).isolation},
	{"scale", "more and more threads; kill -9 and restart", true, (*bench).scale},
	{"replay", "the log verified and folded, and states of the past", true, (*bench).replay},
	{"profiles", "profiles of Baton under load", true, (*bench).profiled},
}

func partNames() []string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return names
}

// chosen are the parts named in a list, all of them for an empty one.
func chosen(list string) ([]part, error) {
	if list == "" {
		return parts, nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(partNames(), name) {
			return nil, fmt.Errorf("unknown part %q, want some of %s", name, strings.Join(partNames(), ", "))
		}
	}
	var some []part
	for _, p := range parts {
		if slices.Contains(names, p.name) {
			some = append(some, p)
		}
	}
	return some, nil
}

// bench is one run.
type bench struct {
	options  options
	size     size
	out      io.Writer
	report   *report.Report
	round    int
	postgres *cluster // started by the first round that wants it
	closers  []func() error
}

// size is how much of everything a run measures.
type size struct {
	threads   int           // of the end to end measurements
	saturated time.Duration // of a load that posts as fast as it can
	paced     time.Duration // of one that does not
	floor     time.Duration // of a floor
	changes   int           // times take, pass, release on each thread
	crowd     []int         // numbers of subscribers beside the usual three
	turns     time.Duration // of the quiet load on each of two Batons
	profile   time.Duration // of a load under a profile; whole seconds
	idle      time.Duration // of a look at what an idle Baton takes
	past      int           // states of the past asked for
	// largest bounds the numbers of threads, events and waiting events that
	// the command line asks for.
	largest int
	// profiled are the loads of which profiles are kept.
	profiled []string
	// partitions of the Batons; 0 for the default.
	partitions int
}

func full() size {
	return size{
		threads: 10_000, saturated: 6 * time.Second, paced: 10 * time.Second, floor: 1500 * time.Millisecond,
		changes: 2, crowd: []int{1, 10, 50}, turns: 20 * time.Second, profile: 5 * time.Second, idle: 5 * time.Second, past: 4000, largest: 1 << 30,
		profiled: []string{"alone", "together", "control", "backlog"},
	}
}

func quick() size {
	return size{
		threads: 4_000, saturated: 2 * time.Second, paced: 3 * time.Second, floor: 300 * time.Millisecond,
		changes: 1, crowd: []int{1, 10}, turns: 5 * time.Second, profile: 2 * time.Second, idle: 3 * time.Second, past: 1000, largest: 100_000,
		profiled: []string{"alone", "together", "control", "backlog"},
	}
}

func newBench(o options, args []string, out io.Writer) (*bench, error) {
	if _, err := os.Stat(o.baton); err != nil {
		return nil, fmt.Errorf("%w: make build builds it", err)
	}
	if err := os.MkdirAll(o.out, 0o700); err != nil {
		return nil, err
	}
	b := &bench{options: o, size: full(), out: out}
	if o.quick {
		b.size = quick()
	}
	b.report = &report.Report{Began: time.Now(), Machine: machine(), Version: version(o.baton), Flags: args}
	return b, nil
}

// measure runs the parts, round by round, and stops at the first fault.
func (b *bench) measure(ctx context.Context, parts []part) (err error) {
	defer func() {
		for _, closed := range slices.Backward(b.closers) {
			err = errors.Join(err, closed())
		}
	}()
	for b.round = 1; b.round <= b.options.rounds; b.round++ {
		for _, p := range parts {
			if p.once && b.round > 1 {
				continue
			}
			b.say("round %d: %s: %s", b.round, p.name, p.what)
			if err := p.measure(b, ctx); err != nil {
				return fmt.Errorf("%s, round %d: %w", p.name, b.round, err)
			}
		}
	}
	return nil
}

// say tells whoever waits where the run stands.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, "%7s  %s\n", time.Since(b.report.Began).Round(time.Second), fmt.Sprintf(format, args...))
}

// note adds a value of this round to the report, and says it.
func (b *bench) note(name string, unit report.Unit, value float64) {
	b.report.Add(b.round, name, unit, value)
}

// folder makes a directory for a measurement's data and logs. It is removed
// when the measurement was good.
func (b *bench) folder(name string) (string, error) {
	dir, err := filepath.Abs(filepath.Join(b.options.out, "runs"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return os.MkdirTemp(dir, strings.ReplaceAll(name, "/", "-")+"-")
}
