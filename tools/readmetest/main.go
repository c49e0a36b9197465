// Command readmetest runs the code blocks of README.md and compares what they
// print with what the README says, so that the document cannot go stale.
//
// Fenced blocks are told apart by their info string:
//
//   - console: lines that begin with "$ " are commands, run by bash one after
//     the other in a copy of the repository; the lines after a command are what
//     it prints. Times, durations, ids, digests and ports are masked; "…" stands
//     for any text, and alone on a line for any lines.
//   - sh: run like those, without a look at the output.
//   - yaml that begins with "# baton.yaml": checked with bin/baton check.
//   - go: must compile in the module.
//
// Everything else is text, but a demo that the text promises is run.
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
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(code)
}

// run tests the README named by args and returns an exit code: 0 when every
// block does what it says, 1 when one does not, 2 for wrong usage.
func run(ctx context.Context, args []string, out io.Writer) int {
	flags := flag.NewFlagSet("readmetest", flag.ContinueOnError)
	flags.SetOutput(out)
	root := flags.String("root", ".", "root of the repository")
	file := flags.String("file", "README.md", "document, below the root")
	within := flags.Duration("within", 8*time.Minute, "bound on the whole run")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, *within)
	defer cancel()
	began := time.Now()
	ran, err := testDocument(ctx, *root, *file, defaultWaits(), out)
	if err != nil {
		_, _ = fmt.Fprintln(out, err)
		return 1
	}
	_, _ = fmt.Fprintf(out, "%s: %d blocks do what they say (%s)\n", *file, ran, time.Since(began).Round(time.Second))
	return 0
}

// waits bound the parts of a run.
type waits struct {
	command time.Duration // one command
	repeat  time.Duration // the repeats of a read-only command
	start   time.Duration // the first lines of a command in the background, its build included
	stop    time.Duration // its end after SIGTERM
}

func defaultWaits() waits {
	return waits{command: 2 * time.Minute, repeat: 10 * time.Second, start: 4 * time.Minute, stop: 10 * time.Second}
}

// testDocument runs the blocks of a document in a copy of the repository and
// returns how many there were. The first block that does not do what it says
// ends the run.
func testDocument(ctx context.Context, root, file string, w waits, out io.Writer) (ran int, err error) {
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return 0, err
	}
	blocks, err := parse(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", file, err)
	}
	dir, err := os.MkdirTemp("", "readmetest-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := copyTree(ctx, root, dir); err != nil {
		return 0, err
	}
	s := newSession(dir, w, out)
	for _, b := range append(blocks, demo(string(text), blocks)...) {
		if !b.runs() {
			continue
		}
		if err = s.block(ctx, b); err != nil {
			break
		}
		ran++
	}
	if err = errors.Join(err, s.end(ctx)); err != nil {
		return ran, located{file, err}
	}
	return ran, nil
}

// located puts the document's name before a fault's line number.
type located struct {
	file string
	err  error
}

func (l located) Error() string { return l.file + ":" + l.err.Error() }
func (l located) Unwrap() error { return l.err }
