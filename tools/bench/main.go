// Command bench measures Baton on the machine at hand: what it does, what the
// parts it is made of would allow at most, and what another way to do the same
// does, all in one run, since only ratios within a run mean anything. Every
// event is checked on its way; a run in which one is lost, doubled or out of
// order fails.
//
//	go run ./tools/bench                        everything, in 20 to 30 minutes
//	go run ./tools/bench --quick                the same, smaller, in some five minutes
//	go run ./tools/bench --only e2e,floors --rounds 5
//
// The results are written as JSON beside profiles and logs, below .bench/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/baton-router/baton/tools/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var code int
	if len(os.Args) == 3 && os.Args[1] == childWord {
		code = runChild(ctx, os.Args[2])
	} else {
		code = run(ctx, os.Args[1:], os.Stdout)
	}
	stop()
	os.Exit(code)
}

// options are the command line.
type options struct {
	only      string
	rounds    int
	quick     bool
	baton     string
	out       string
	yardstick string
	postgres  string
	threads   int
	events    int
	backlog   int
	write     string
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.only, "only", "", "parts to measure, separated by commas: "+strings.Join(partNames(), ", ")+"; empty for all")
	flags.IntVar(&o.rounds, "rounds", 0, "rounds, interleaved; 0 for 3, or 1 with --quick")
	flags.BoolVar(&o.quick, "quick", false, "smaller loads: some five minutes, wide spreads")
	flags.StringVar(&o.baton, "baton", "bin/baton", "the program that is measured")
	flags.StringVar(&o.out, "out", "", "directory for results; empty for .bench/DATE")
	flags.StringVar(&o.yardstick, "pgbaseline", os.Getenv("BATON_BENCH_PGBASELINE"), "directory of the PostgreSQL baseline's source [BATON_BENCH_PGBASELINE]")
	flags.StringVar(&o.postgres, "postgres", os.Getenv("BATON_BENCH_POSTGRES"), "directory of PostgreSQL's programs; empty to look for it [BATON_BENCH_POSTGRES]")
	flags.IntVar(&o.threads, "threads", 1_000_000, "scale: the most threads; 10000000 takes long")
	flags.IntVar(&o.events, "events", 1_000_000, "replay: events in the log; 10000000 takes long")
	flags.IntVar(&o.backlog, "backlog", 1_000_000, "isolation: events that wait for the dead app")
	flags.StringVar(&o.write, "write", "", "document in which to replace the table of figures")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	return o, o.settle()
}

// settle fills in what depends on other options.
func (o *options) settle() error {
	if o.rounds < 0 || o.threads < 1 || o.events < 1 || o.backlog < 1 {
		return errors.New("rounds must not be below 0; threads, events and backlog not below 1")
	}
	if o.rounds == 0 {
		o.rounds = 3
		if o.quick {
			o.rounds = 1
		}
	}
	if o.out == "" {
		o.out = filepath.Join(".bench", time.Now().UTC().Format("20060102-150405"))
	}
	return nil
}

// run measures and returns an exit code: 0 for a good run, 1 when something was
// wrong with what was measured, 2 for wrong usage.
func run(ctx context.Context, args []string, out io.Writer) int {
	o, err := parse(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(out, "bench:", err)
		return 2
	}
	parts, err := chosen(o.only)
	if err != nil {
		_, _ = fmt.Fprintln(out, "bench:", err)
		return 2
	}
	b, err := newBench(o, args, out)
	if err != nil {
		_, _ = fmt.Fprintln(out, "bench:", err)
		return 2
	}
	err = b.measure(ctx, parts)
	if err := b.finish(err); err != nil {
		_, _ = fmt.Fprintln(out, "bench:", err)
		return 1
	}
	return 0
}

// finish judges, prints and writes the report; it returns why the run is no
// good.
func (b *bench) finish(fault error) error {
	r := b.report
	r.Took = time.Since(r.Began).Round(time.Second).String()
	r.Judge(targets)
	if fault != nil {
		r.Fault = fault.Error()
	}
	_, _ = fmt.Fprintln(b.out)
	printed := r.Print(b.out)
	file := filepath.Join(b.options.out, "result.json")
	err := errors.Join(fault, printed, r.Write(file))
	_, _ = fmt.Fprintf(b.out, "\n%s: written to %s\n", r.Took, file)
	if b.options.write != "" && fault == nil {
		err = errors.Join(err, report.Embed(b.options.write, r))
	}
	return err
}
