package main

import (
	"context"
	"io"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	"github.com/baton-router/baton/pkg/gen/baton/sim/v1/simv1connect"
)

const defaultAdmin = "http://127.0.0.1:8081"

// cli is the command line.
type cli struct {
	Global

	Dev     devCommand     `cmd:"" help:"Start everything on this machine: Baton, a simulated platform and three demo apps."`
	Serve   serveCommand   `cmd:"" help:"Run Baton, or some of its roles, with a configuration."`
	Check   checkCommand   `cmd:"" help:"Check a configuration; all faults at once."`
	Apply   applyCommand   `cmd:"" help:"Put the apps and pages of a configuration into force."`
	Thread  threadCommands `cmd:"" help:"Look at threads and move control."`
	Inbox   inboxCommands  `cmd:"" help:"Do what a human would do in the page's inbox."`
	App     appCommands    `cmd:"" help:"Look at apps and steer their deliveries."`
	Log     logCommands    `cmd:"" help:"Read and verify the log."`
	Replay  replayCommand  `cmd:"" help:"Fold the log from its beginning and compare with the running store."`
	Sim     simCommands    `cmd:"" help:"Be the people on the simulated platform."`
	Demo    demoCommand    `cmd:"" help:"Play a conversation by itself, in a temporary directory."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// Global are the flags of every command.
type Global struct {
	Admin  string `help:"Admin listener of the server." default:"${admin}" env:"BATON_ADMIN" placeholder:"URL"`
	Token  string `help:"Admin token." env:"BATON_ADMIN_TOKEN" placeholder:"TOKEN"`
	Output string `short:"o" help:"Output: table or json." enum:"table,json" default:"table"`
}

// streams are where a command writes.
type streams struct {
	out, err io.Writer
}

// requestTimeout bounds a command's single request; streams have none.
const requestTimeout = 2 * time.Minute

func (g *Global) admin() adminv1connect.AdminServiceClient {
	return adminv1connect.NewAdminServiceClient(http.DefaultClient, g.Admin, g.authorised()...)
}

func (g *Global) sim() simv1connect.SimServiceClient {
	return simv1connect.NewSimServiceClient(http.DefaultClient, g.Admin, g.authorised()...)
}

func (g *Global) authorised() []connect.ClientOption {
	if g.Token == "" {
		return nil
	}
	return []connect.ClientOption{connect.WithInterceptors(bearer(g.Token))}
}

// bearer adds the admin token to every call.
type bearer string

func (b bearer) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set("Authorization", "Bearer "+string(b))
		return next(ctx, req)
	}
}

func (b bearer) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set("Authorization", "Bearer "+string(b))
		return conn
	}
}

func (b bearer) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
