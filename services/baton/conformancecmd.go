package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/conformance"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// conformanceCommand puts a server through the conformance vectors.
type conformanceCommand struct {
	URL    string `name:"url" help:"Base URL of the Graph API under test, in place of the configuration's." placeholder:"URL"`
	Config string `help:"Description of the server under test; without one this program is put to the test, in a process of its own." placeholder:"FILE"`
	Row    string `help:"Only this row of the table, with its variants, or this variant." placeholder:"ROW"`
	Story  string `help:"Only this story." placeholder:"NAME"`
	Mode   string `help:"Only in this mode: h, h0, z or d." placeholder:"MODE"`
}

func (c *conformanceCommand) Run(ctx context.Context, g *Global, s *streams) error {
	vectors, err := conformance.Vectors()
	if err != nil {
		return err
	}
	filter := conformance.Filter{Row: c.Row, Story: c.Story, Mode: conformance.Mode(c.Mode)}
	if !filter.Matches(vectors) {
		return usage("no vector matches --row %q --story %q --mode %q", c.Row, c.Story, c.Mode)
	}
	server, stop, err := c.server(ctx)
	if err != nil {
		return err
	}
	report, err := conformance.Run(ctx, &server, c.steward(g, &server), vectors, filter)
	stopped := stop()
	switch {
	case err != nil && (unreachable(err) || !conformance.Reachable(err)):
		return errors.Join(codedError{exitNotServed, err}, stopped)
	case err != nil:
		return errors.Join(err, stopped)
	}
	return errors.Join(c.print(g, s, report), stopped)
}

// server is the server under test: one that a file describes, or one that is
// started. stop ends what was started.
func (c *conformanceCommand) server(ctx context.Context) (described conformance.Server, stop func() error, err error) {
	stop = func() error { return nil }
	if c.Config != "" {
		described, err = c.read()
		return described, stop, err
	}
	if c.URL != "" {
		return described, stop, usage("--url needs --config: how webhooks are signed, and who the apps are")
	}
	own, described, err := startOwnServer(ctx)
	if err != nil {
		return described, stop, fmt.Errorf("starting a server to test: %w", err)
	}
	return described, own.stop, nil
}

// read reads the description of the server under test.
func (c *conformanceCommand) read() (conformance.Server, error) {
	data, err := os.ReadFile(c.Config)
	if err != nil {
		return conformance.Server{}, usage("%w", err)
	}
	server, err := conformance.ParseServer(c.Config, data)
	if err != nil {
		return server, codedError{exitUsage, err}
	}
	if c.URL != "" {
		server.URL = c.URL
	}
	if err := server.Validate(); err != nil {
		return server, usage("%s: %w", c.Config, err)
	}
	return server, nil
}

func (*conformanceCommand) print(g *Global, s *streams, report *conformance.Report) error {
	var err error
	if g.Output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = report.Write(s.out)
	}
	if err == nil && !report.Passed() {
		return verdict("the server does not conform")
	}
	return err
}

// steward is in charge of a Baton that was started for the purpose; nil for
// another server.
func (*conformanceCommand) steward(g *Global, server *conformance.Server) conformance.Steward {
	if server.Baton.Admin == "" {
		return nil
	}
	in := *g
	in.Admin = server.Baton.Admin
	if server.Baton.Token != "" {
		in.Token = server.Baton.Token
	}
	return &steward{&in}
}

// steward steers a Baton over its admin listener.
type steward struct{ g *Global }

// Apply puts apps and pages into force.
func (s *steward) Apply(ctx context.Context, text []byte) error {
	cfg, err := roster.Load(roster.Source{Name: "conformance", Data: text, RosterOnly: true})
	if err != nil {
		return err
	}
	document, err := roster.Proposal(cfg).Encode()
	if err != nil {
		return err
	}
	resp, err := s.g.admin().Apply(ctx, connect.NewRequest(&adminv1.ApplyRequest{Document: document}))
	if err != nil {
		return err
	}
	if missing := resp.Msg.GetMissing(); len(missing) > 0 {
		return fmt.Errorf("partitions %v have not logged the roster", missing)
	}
	receipts := &simv1.Switches{DropDeliveries: true, DropReads: true} // come when they like
	_, err = s.g.sim().SetSwitches(ctx, connect.NewRequest(&simv1.SetSwitchesRequest{Switches: receipts}))
	return err
}

// Clock moves the simulator's clock.
func (s *steward) Clock(ctx context.Context, forward time.Duration) (time.Duration, error) {
	resp, err := s.g.sim().Clock(ctx, connect.NewRequest(&simv1.ClockRequest{ForwardMs: forward.Milliseconds()}))
	if err != nil {
		return 0, err
	}
	return time.Duration(resp.Msg.GetOffsetMs()) * time.Millisecond, nil
}

// Platform sets the simulator's switches of a page.
func (s *steward) Platform(ctx context.Context, page, word string) error {
	w := &simv1.Switches{DropDeliveries: true, DropReads: true}
	switch word {
	case "silent":
		w.EchoNever = true
	case "refuses":
		w.Refuse = &simv1.Refusal{
			Edge: "messages", Status: 400, Code: 551, Subcode: 1545041, Message: "(#551) This person isn't available right now.",
		}
	}
	_, err := s.g.sim().SetSwitches(ctx, connect.NewRequest(&simv1.SetSwitchesRequest{PageId: page, Switches: w}))
	return err
}

// Quiet reports whether every app has got what was decided for it.
func (s *steward) Quiet(ctx context.Context) (bool, error) {
	resp, err := s.g.admin().ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
	if err != nil {
		return false, err
	}
	for _, a := range resp.Msg.GetApps() {
		if a.GetLagEvents() > 0 || a.GetInFlight() > 0 {
			return false, nil
		}
	}
	return true, nil
}
