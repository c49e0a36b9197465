package main

import (
	"context"
	"os"
	"strconv"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
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
	App string `arg:"" help:"Id or name of the app."`
}

type appPause struct{ oneApp }

func (c *appPause) Run(ctx context.Context, g *Global, s *streams) error {
	return steer(ctx, g, s, &adminv1.SteerAppRequest{App: c.App, Verb: "pause", Partition: -1})
}

type appResume struct{ oneApp }

func (c *appResume) Run(ctx context.Context, g *Global, s *streams) error {
	return steer(ctx, g, s, &adminv1.SteerAppRequest{App: c.App, Verb: "resume", Partition: -1})
}

type appRewind struct {
	oneApp
	Partition int32  `help:"Partition to rewind; -1 for all." default:"-1"`
	Position  uint64 `help:"Deliver again from this position." required:""`
}

func (c *appRewind) Run(ctx context.Context, g *Global, s *streams) error {
	return steer(ctx, g, s, &adminv1.SteerAppRequest{App: c.App, Verb: "rewind", Partition: c.Partition, Position: c.Position})
}

func steer(ctx context.Context, g *Global, s *streams, req *adminv1.SteerAppRequest) error {
	resp, err := g.admin().SteerApp(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printApp(w, resp.Msg.GetApp()) })
}

// checkCommand checks a configuration.
type checkCommand struct {
	Config  string `help:"Configuration file." default:"baton.yaml" placeholder:"FILE"`
	Secrets bool   `help:"Also resolve env: and file: secrets." default:"true" negatable:""`
}

func (c *checkCommand) Run(s *streams) error {
	cfg, err := loadConfig(c.Config, nil, !c.Secrets)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		_, _ = s.err.Write([]byte("baton: " + w + "\n"))
	}
	_, err = s.out.Write([]byte(c.Config + ": ok\n"))
	return err
}

// loadConfig reads a configuration file; its faults, all of them, are wrong
// usage.
func loadConfig(file string, flags map[string]string, keepReferences bool) (roster.Config, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return roster.Config{}, usage("%w", err)
	}
	cfg, err := roster.Load(roster.Source{Name: file, Data: data, Environ: os.Environ(), Flags: flags, KeepReferences: keepReferences})
	if err != nil {
		return roster.Config{}, codedError{exitUsage, err}
	}
	return cfg, nil
}

// applyCommand puts the apps and pages of a file into force.
type applyCommand struct {
	File   string `short:"f" help:"Configuration file; its apps and pages are used." required:"" placeholder:"FILE"`
	DryRun bool   `help:"Say what would change; change nothing."`
}

func (c *applyCommand) Run(ctx context.Context, g *Global, s *streams) error {
	document, err := proposal(c.File)
	if err != nil {
		return err
	}
	resp, err := g.admin().Apply(ctx, connect.NewRequest(&adminv1.ApplyRequest{Document: document, DryRun: c.DryRun}))
	if err != nil {
		return err
	}
	err = s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "version", strconv.FormatUint(resp.Msg.GetVersion(), 10))
		for _, line := range resp.Msg.GetChanges() {
			row(w, "change", line)
		}
	})
	if missing := resp.Msg.GetMissing(); err == nil && len(missing) > 0 {
		return verdict("partitions %v have not logged version %d yet", missing, resp.Msg.GetVersion())
	}
	return err
}

// proposal is the roster of a configuration file. Its env: and file: secrets
// are resolved here, where they are at hand, and tokens leave as hashes.
func proposal(file string) ([]byte, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, usage("%w", err)
	}
	cfg, err := roster.Load(roster.Source{Name: file, Data: data, Environ: os.Environ(), RosterOnly: true})
	if err != nil {
		return nil, codedError{exitUsage, err}
	}
	return roster.Proposal(cfg).Encode()
}
