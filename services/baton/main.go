// Command baton is the whole of Baton: the router in all its roles, and the
// commands of its operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"
)

// Exit codes. Source: design, operators' commands.
const (
	exitDone      = 0
	exitFailure   = 1 // negative verdict or failure
	exitUsage     = 2 // wrong usage or configuration
	exitNotServed = 3 // the server cannot be reached
)

// codedError carries the exit code that a failure deserves.
type codedError struct {
	code int
	err  error
}

func (e codedError) Error() string { return e.err.Error() }
func (e codedError) Unwrap() error { return e.err }

// usage marks an error as wrong usage or configuration.
func usage(format string, args ...any) error {
	return codedError{exitUsage, fmt.Errorf(format, args...)}
}

// verdict marks an error as a negative verdict.
func verdict(format string, args ...any) error {
	return codedError{exitFailure, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code. stdout gets results,
// stderr everything else.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var commands cli
	code := -1
	parser, err := kong.New(&commands,
		kong.Name("baton"),
		kong.Description("Decides, for every conversation of a business, which one of its apps may answer."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Vars{"admin": defaultAdmin},
	)
	if err != nil {
		fmt.Fprintln(stderr, "baton:", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	switch {
	case code >= 0: // --help
		return code
	case err != nil:
		fmt.Fprintf(stderr, "baton: %v\nbaton: try 'baton --help'\n", err)
		return exitUsage
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(&commands.Global, &streams{out: stdout, err: stderr})
	if err != nil {
		fmt.Fprintln(stderr, "baton:", explain(err))
	}
	return exitCode(err)
}

// exitCode maps an error to an exit code.
func exitCode(err error) int {
	var coded codedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &coded):
		return coded.code
	case connect.CodeOf(err) == connect.CodeUnavailable:
		return exitNotServed
	case connect.CodeOf(err) == connect.CodeInvalidArgument:
		return exitUsage
	default:
		return exitFailure
	}
}

// explain strips the wrapping of remote errors and says what to do.
func explain(err error) string {
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return err.Error()
	}
	if remote.Code() == connect.CodeUnavailable {
		return "the server cannot be reached (is `baton dev` or `baton serve` running? see --admin): " + remote.Message()
	}
	return remote.Message()
}
