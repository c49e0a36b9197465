package main

import (
	"context"
	"fmt"
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
	Config string `help:"Look at this configuration and the platform from here; else the running server looks." placeholder:"FILE"`
}

func (c *doctorCommand) Run(ctx context.Context, g *Global, s *streams) error {
	if c.Config != "" {
		return c.fromHere(ctx, g, s)
	}
	resp, err := g.admin().Doctor(ctx, connect.NewRequest(&adminv1.DoctorRequest{}))
	if err != nil {
		return err
	}
	return printFindings(g, s, resp.Msg)
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
