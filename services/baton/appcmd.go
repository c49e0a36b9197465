package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// appCommands look at apps and steer their deliveries.
type appCommands struct {
	Ls     appLs     `cmd:"" help:"List apps with the state of their deliveries."`
	Pause  appPause  `cmd:"" help:"Stop delivering to an app; what comes waits in the log."`
	Resume appResume `cmd:"" help:"Deliver again, from where it stopped."`
	Rewind appRewind `cmd:"" help:"Deliver again from an earlier position."`
}

type appLs struct{}

func (c *appLs) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "ID", "NAME", "STATE", "LAG", "PARKED", "OWNED", "CALLBACK", "REASON")
		for _, a := range resp.Msg.GetApps() {
			printApp(w, a)
		}
	})
}

func printApp(w *tabwriter.Writer, a *adminv1.App) {
	row(w, a.GetId(), a.GetName(), a.GetState(), strconv.FormatUint(a.GetLagEvents(), 10), strconv.Itoa(int(a.GetParked())),
		strconv.FormatUint(a.GetOwned(), 10), a.GetCallbackUrl(), a.GetReason())
}

// oneApp names an app on the command line.
type oneApp struct {
	App    string `arg:"" help:"Id or name of the app."`
	DryRun bool   `help:"Say what would happen; change nothing."`
}

type appPause struct{ oneApp }

func (c *appPause) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "pause", Partition: -1})
}

type appResume struct{ oneApp }

func (c *appResume) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "resume", Partition: -1})
}

type appRewind struct {
	oneApp
	Partition int32  `help:"Partition to rewind; -1 for all." default:"-1"`
	Position  uint64 `help:"Deliver again from this position." required:""`
}

func (c *appRewind) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "rewind", Partition: c.Partition, Position: c.Position})
}

func (c *oneApp) steer(ctx context.Context, g *Global, s *streams, req *adminv1.SteerAppRequest) error {
	if req.App = c.App; c.DryRun {
		return c.wouldSteer(ctx, g, s, req.GetVerb())
	}
	resp, err := g.admin().SteerApp(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printApp(w, resp.Msg.GetApp()) })
}

// wouldSteer shows the app as it is, and says what would be done.
func (c *oneApp) wouldSteer(ctx context.Context, g *Global, s *streams, verb string) error {
	resp, err := g.admin().ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil {
		return err
	}
	for _, a := range resp.Msg.GetApps() {
		if a.GetId() != c.App && a.GetName() != c.App {
			continue
		}
		_, _ = fmt.Fprintf(s.err, "baton: dry run: would %s %s\n", verb, a.GetName())
		return s.print(g, &adminv1.SteerAppResponse{App: a}, func(w *tabwriter.Writer) { printApp(w, a) })
	}
	return usage("unknown app %q", c.App)
}
