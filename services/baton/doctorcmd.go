package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// doctorCommand looks for what is missing. Without a file it asks the running
// server, which sees its streams and deliveries too; with one it asks the
// platform from here, before a first start for example.
type doctorCommand struct {
	Config     string   `help:"Look at this configuration and the platform from here; else the running server looks. With --repair: mend the data of a stopped node." placeholder:"FILE"`
	Repair     bool     `help:"Take what is halted back to work, as far as nothing is lost."`
	DryRun     bool     `help:"With --repair: say what would be done, do nothing."`
	Partition  []uint32 `help:"With --repair: only these partitions." placeholder:"N"`
	MoveStore  bool     `help:"With --repair --config: move the store aside and rebuild it from the log, even if it can be read."`
	AcceptLoss []string `help:"With --repair: let a partition go on behind the end of its log although something is lost; --repair says what, and the position." placeholder:"PARTITION:POSITION"`
}

func (c *doctorCommand) Run(ctx context.Context, g *Global, s *streams) error {
	accept, err := c.accepted()
	switch {
	case err != nil:
		return err
	case c.Repair && c.Config != "":
		return c.mend(ctx, g, s)
	case c.Repair:
		resp, err := g.admin().Repair(ctx, connect.NewRequest(&adminv1.RepairRequest{Partitions: c.Partition, Accept: accept, DryRun: c.DryRun}))
		if err != nil {
			return err
		}
		return printRepair(g, s, resp.Msg, c.DryRun)
	case c.Config != "":
		return c.fromHere(ctx, g, s)
	}
	resp, err := g.admin().Doctor(ctx, connect.NewRequest(&adminv1.DoctorRequest{}))
	if err != nil {
		return err
	}
	return printFindings(g, s, resp.Msg)
}

// accepted reads --accept-loss, and refuses flags that do not go together.
func (c *doctorCommand) accepted() (list []*adminv1.AcceptedLoss, err error) {
	switch {
	case !c.Repair && (c.DryRun || len(c.Partition) > 0 || len(c.AcceptLoss) > 0):
		return nil, usage("--dry-run, --partition and --accept-loss go with --repair")
	case c.MoveStore && (!c.Repair || c.Config == ""):
		return nil, usage("--move-store goes with --repair --config FILE, of a stopped node")
	case c.Config != "" && (len(c.Partition) > 0 || len(c.AcceptLoss) > 0):
		return nil, usage("--partition and --accept-loss are for a running server; --repair --config mends the data of a stopped one")
	}
	for _, text := range c.AcceptLoss {
		p, at, ok := strings.Cut(text, ":")
		partition, err := strconv.ParseUint(p, 10, 16)
		position, err2 := strconv.ParseUint(at, 10, 64)
		if !ok || err != nil || err2 != nil {
			return nil, usage("--accept-loss %q is not PARTITION:POSITION, for example 5:1234", text)
		}
		if slices.ContainsFunc(list, func(a *adminv1.AcceptedLoss) bool { return uint64(a.GetPartition()) == partition }) {
			return nil, usage("--accept-loss names partition %d twice", partition)
		}
		list = append(list, &adminv1.AcceptedLoss{Partition: uint32(partition), Position: position})
	}
	return list, nil
}

// printRepair prints what was done and what is left, which is a negative
// verdict.
func printRepair(g *Global, s *streams, r *adminv1.RepairResponse, dry bool) error {
	done := "done"
	if dry {
		done = "would do"
	}
	err := s.print(g, r, func(w *tabwriter.Writer) {
		if len(r.GetSteps())+len(r.GetLeft()) == 0 {
			row(w, "well", "nothing is halted here")
		}
		for _, step := range r.GetSteps() {
			row(w, done, stepText(step))
		}
		for _, u := range r.GetLeft() {
			row(w, "halted", u.GetWhy())
			if u.GetAcceptable() {
				row(w, "", fmt.Sprintf("to accept that: --accept-loss %d:%d", u.GetPartition(), u.GetPosition()))
			}
		}
	})
	if err == nil && len(r.GetLeft()) > 0 {
		return verdict("partitions still halted: %d", len(r.GetLeft()))
	}
	return err
}

func stepText(step *adminv1.RepairStep) string {
	if step.GetPartition() < 0 {
		return step.GetWay() + ": " + step.GetWhat()
	}
	return fmt.Sprintf("partition %d: %s: %s", step.GetPartition(), step.GetWay(), step.GetWhat())
}

// fromHere examines a configuration without a server.
func (c *doctorCommand) fromHere(ctx context.Context, g *Global, s *streams) error {
	cfg, err := loadConfig(c.Config, nil, false)
	if err != nil {
		return err
	}
	document, _ := roster.FromConfig(cfg, roster.Document{})
	snapshot, err := roster.Compile(document, 0)
	if err != nil {
		return codedError{exitUsage, err}
	}
	e := &examination{}
	examineRoster(e, snapshot)
	if cfg.Platform.GraphURL == roster.Simulator {
		e.find(note, whatPlatform, advice{
			"it is the simulator of a server", "there is nothing to ask from here", "start the server and run baton doctor without --config",
		})
		return printFindings(g, s, e.response())
	}
	client, err := newPlatform(cfg.Platform, cfg.Platform.GraphURL)
	if err != nil {
		return codedError{exitUsage, err}
	}
	defer client.Close()
	away := newPlatformDoctor(client, snapshot, time.Now).examine(ctx, e)
	err = printFindings(g, s, e.response())
	if away != nil {
		return codedError{exitNotServed, fmt.Errorf("the platform cannot be reached: %w", away)}
	}
	return err
}

// printFindings prints what was found; problems are a negative verdict.
func printFindings(g *Global, s *streams, r *adminv1.DoctorResponse) error {
	problems := 0
	err := s.print(g, r, func(w *tabwriter.Writer) {
		for _, line := range r.GetHealthy() {
			row(w, "well", line)
		}
		for _, f := range r.GetFindings() {
			row(w, f.GetSeverity(), f.GetSubject()+": "+f.GetWhat())
			row(w, "", "why: "+f.GetWhy())
			row(w, "", "way out: "+f.GetWayOut())
		}
		for _, n := range r.GetRepairs() {
			row(w, "repair", fmt.Sprintf("%s by %s: %s (%s)", n.GetAt(), n.GetWho(), stepText(n.GetStep()), n.GetOutcome()))
		}
	})
	for _, f := range r.GetFindings() {
		if f.GetSeverity() == problem {
			problems++
		}
	}
	if err == nil && problems > 0 {
		return verdict("problems found: %d", problems)
	}
	return err
}
