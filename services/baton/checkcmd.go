package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// checkCommand checks a configuration.
type checkCommand struct {
	Config  string            `help:"Configuration file." default:"baton.yaml" placeholder:"FILE"`
	Set     map[string]string `help:"Override a setting, for example listen.public=127.0.0.1:9000." placeholder:"KEY=VALUE"`
	Secrets bool              `help:"Also resolve env: and file: secrets." default:"true" negatable:""`
	Print   bool              `help:"Print every setting in force, secrets hidden."`
}

func (c *checkCommand) Run(s *streams) error {
	cfg, err := loadConfig(c.Config, c.Set, !c.Secrets)
	if err != nil {
		return err
	}
	s.warn(cfg)
	if !c.Print {
		_, err = fmt.Fprintln(s.out, c.Config+": ok")
		return err
	}
	text, err := cfg.Print()
	if err != nil {
		return err
	}
	_, err = s.out.Write(text)
	return err
}

// warn prints what a configuration is warned of.
func (s *streams) warn(c roster.Config) {
	for _, w := range c.Warnings {
		_, _ = fmt.Fprintln(s.err, "baton: warning: "+w)
	}
}

// loadConfig reads a configuration file; its faults, all of them, are wrong
// usage.
func loadConfig(file string, flags map[string]string, keepReferences bool) (roster.Config, error) {
	data, err := os.ReadFile(file)
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
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("%w", err)
	}
	cfg, err := roster.Load(roster.Source{Name: file, Data: data, Environ: os.Environ(), RosterOnly: true})
	if err != nil {
		return nil, codedError{exitUsage, err}
	}
	return roster.Proposal(cfg).Encode()
}
