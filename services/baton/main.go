// Command baton is the whole of Baton: the router in all its roles, and the
// commands of its operators.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	"github.com/baton-router/baton/pkg/roster"
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
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
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
	if err := commands.prepare(); err != nil {
		fmt.Fprintln(stderr, "baton:", explain(err))
		return exitCode(err)
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
	case unreachable(err):
		return exitNotServed
	case connect.CodeOf(err) == connect.CodeInvalidArgument:
		return exitUsage
	default:
		return exitFailure
	}
}

// unreachable reports that no server answered; one that answers that it cannot
// is reachable.
func unreachable(err error) bool {
	var remote *connect.Error
	if !errors.As(err, &remote) || connect.IsWireError(err) {
		return false
	}
	var cut *net.OpError // a connection that was refused, or ended before there was an answer
	return remote.Code() == connect.CodeUnavailable || errors.As(err, &cut)
}

// explain says in one line what went wrong and what to do. Only the faults of a
// configuration are a line each.
func explain(err error) string {
	if faults := roster.Faults(nil); errors.As(err, &faults) {
		return faults.Error()
	}
	var remote *connect.Error
	if !errors.As(err, &remote) {
		return oneLine(err.Error())
	}
	switch text := oneLine(remote.Message()); {
	case unreachable(err):
		return "the server cannot be reached (is `baton dev` or `baton serve` running? see --admin): " + text
	case remote.Code() == connect.CodeUnauthenticated:
		return "the server wants an admin token, or another one (--token, BATON_ADMIN_TOKEN): " + text
	case remote.Code() == connect.CodeDeadlineExceeded:
		return "the server did not answer in time: " + text
	case remote.Code() == connect.CodeUnimplemented:
		return "the server does not know this call (is --admin its admin listener? sim needs graph_url: simulator): " + text
	case !connect.IsWireError(err) && remote.Code() != connect.CodeCanceled:
		return "this does not look like the answer of Baton's admin listener (see --admin): " + text
	default:
		return text
	}
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
}
