package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// appCommands look at apps and steer their deliveries.
type appCommands struct {
	Ls     appLs     `cmd:"" help:"List apps with the state of their deliveries."`
	Show   appShow   `cmd:"" help:"Show an app and where it stands in every partition."`
	Pause  appPause  `cmd:"" help:"Stop delivering to an app; what comes waits in the log."`
	Resume appResume `cmd:"" help:"Deliver again, from where it stopped; failing events get their full time again."`
	Rewind appRewind `cmd:"" help:"Deliver again from an earlier position or point in time."`
	Skip   appSkip   `cmd:"" help:"Give up all that waits; go on with what is decided from now on."`
	Test   appTest   `cmd:"" help:"Test an app's endpoint with every kind of event; needs no running Baton."`
	Replay appReplay `cmd:"" help:"Deliver since a point in time what the app would have got, had it been connected as it is today."`
}

type appLs struct{}

func (c *appLs) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil {
		return err
	}
	if missing := resp.Msg.GetMissing(); len(missing) > 0 {
		_, _ = fmt.Fprintf(s.err, "baton: nobody delivers for the partitions %v; what waits there is not counted\n", missing)
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "ID", "NAME", "STATE", "LAG", "PARKED", "OWNED", "CALLBACK", "REASON")
		for _, a := range resp.Msg.GetApps() {
			printApp(w, a, ownedBy(a))
		}
	})
}

func ownedBy(a *adminv1.App) string { return strconv.FormatUint(a.GetOwned(), 10) }

func printApp(w *tabwriter.Writer, a *adminv1.App, owned string) {
	row(w, a.GetId(), a.GetName(), a.GetState(), strconv.FormatUint(a.GetLagEvents(), 10), strconv.Itoa(int(a.GetParked())),
		owned, a.GetCallbackUrl(), a.GetReason())
}

type appShow struct {
	App string `arg:"" help:"Id or name of the app."`
}

func (c *appShow) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ShowApp(ctx, connect.NewRequest(&adminv1.ShowAppRequest{App: c.App}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printPlaces(w, resp.Msg) })
}

func printPlaces(w *tabwriter.Writer, r *adminv1.ShowAppResponse) {
	a, number := r.GetApp(), func(n uint64) string { return strconv.FormatUint(n, 10) }
	row(w, "app", a.GetId()+" "+a.GetName())
	row(w, "callback", a.GetCallbackUrl())
	row(w, "state", a.GetState(), a.GetReason())
	row(w, "breaker", a.GetBreaker())
	row(w, "lag", number(a.GetLagEvents())+" events", (time.Duration(a.GetLagMs()) * time.Millisecond).String())
	row(w, "requests", fmt.Sprintf("%d under way, %d at most now", a.GetInFlight(), a.GetSlots()))
	row(w, "waiting", fmt.Sprintf("%d events in memory, %d threads for a retry, %d for an operator", a.GetQueued(), a.GetParked(), a.GetBlocked()))
	if len(r.GetMissing()) > 0 {
		row(w, "missing", fmt.Sprintf("nobody delivers for the partitions %v", r.GetMissing()))
	}
	row(w, "")
	row(w, "PARTITION", "FINISHED", "READ", "END", "UNDELIVERED", "UNREAD FOR", "REPLAY TO", "NODE")
	for _, p := range r.GetPlaces() {
		row(w, number(uint64(p.GetPartition())), number(p.GetWatermark()), number(p.GetRead()), number(p.GetHead()),
			number(uint64(p.GetUndelivered())), (time.Duration(p.GetOldestMs()) * time.Millisecond).String(),
			number(p.GetReplayUntil()), p.GetNode())
	}
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
	Position  uint64 `help:"Deliver again from this position." xor:"from" required:""`
	From      string `help:"Deliver again what was decided from this time on, RFC 3339." xor:"from" required:""`
}

func (c *appRewind) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "rewind", Partition: c.Partition, Position: c.Position, From: c.From})
}

type appSkip struct {
	oneApp
	Partition int32 `help:"Partition to skip to the end of; -1 for all." default:"-1"`
}

func (c *appSkip) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "skip", Partition: c.Partition})
}

type appReplay struct {
	oneApp
	Partition int32  `help:"Partition to replay; -1 for all." default:"-1"`
	From      string `help:"Deliver what was decided from this time on, RFC 3339." required:""`
}

func (c *appReplay) Run(ctx context.Context, g *Global, s *streams) error {
	return c.steer(ctx, g, s, &adminv1.SteerAppRequest{Verb: "replay", Partition: c.Partition, From: c.From})
}

func (c *oneApp) steer(ctx context.Context, g *Global, s *streams, req *adminv1.SteerAppRequest) error {
	if req.App = c.App; c.DryRun {
		return c.wouldSteer(ctx, g, s, req.GetVerb())
	}
	resp, err := g.admin().SteerApp(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printApp(w, resp.Msg.GetApp(), "-") })
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
		return s.print(g, &adminv1.SteerAppResponse{App: a}, func(w *tabwriter.Writer) { printApp(w, a, ownedBy(a)) })
	}
	return usage("unknown app %q", c.App)
}
