package main

import (
	"context"
	"strings"
	"text/tabwriter"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
)

type simReferral struct {
	Args []string `arg:"" name:"[page-id user-id] ref" help:"The link's ref, after page and person if they are not the default ones."`
}

func (c *simReferral) Run(ctx context.Context, g *Global, s *streams) error {
	page, user, ref, err := person(c.Args, "REF")
	if err != nil {
		return err
	}
	resp, err := g.sim().Referral(ctx, connect.NewRequest(&simv1.ReferralRequest{PageId: page, UserId: user, Ref: ref}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "followed", ref) })
}

type simFeedback struct {
	Args     []string `arg:"" name:"[page-id user-id] answer" help:"The score or text, after page and person if they are not the default ones."`
	FollowUp string   `help:"Text of the follow-up." placeholder:"TEXT"`
}

func (c *simFeedback) Run(ctx context.Context, g *Global, s *streams) error {
	page, user, answer, err := person(c.Args, "ANSWER")
	if err != nil {
		return err
	}
	resp, err := g.sim().Feedback(ctx, connect.NewRequest(&simv1.FeedbackRequest{PageId: page, UserId: user, Answer: answer, FollowUp: c.FollowUp}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "answered", answer) })
}

type simSwitches struct {
	Page  string `help:"Only for this page." placeholder:"ID"`
	Reset bool   `help:"All off."`
	Set   string `arg:"" optional:"" name:"json" help:"Switches to set, the others off, for example {\"echo_first\": true}; empty to read them."`
}

func (c *simSwitches) Run(ctx context.Context, g *Global, s *streams) error {
	if c.Set == "" && !c.Reset {
		resp, err := g.sim().GetSwitches(ctx, connect.NewRequest(&simv1.GetSwitchesRequest{PageId: c.Page}))
		if err != nil {
			return err
		}
		return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printSwitches(w, resp.Msg.GetSwitches()) })
	}
	want := new(simv1.Switches)
	if c.Set != "" {
		if c.Reset {
			return usage("--reset goes without switches")
		}
		if err := protojson.Unmarshal([]byte(c.Set), want); err != nil {
			return usage("switches: %s", strings.ReplaceAll(err.Error(), "\u00a0", " "))
		}
	}
	resp, err := g.sim().SetSwitches(ctx, connect.NewRequest(&simv1.SetSwitchesRequest{PageId: c.Page, Switches: want}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { printSwitches(w, resp.Msg.GetSwitches()) })
}

// printSwitches lists what is on.
func printSwitches(w *tabwriter.Writer, s *simv1.Switches) {
	on := 0
	s.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		text := v.String()
		if f.Kind() == protoreflect.MessageKind {
			raw, _ := protojson.Marshal(v.Message().Interface()) // cannot fail: it was unmarshalled
			text = strings.ReplaceAll(string(raw), " ", "")
		}
		row(w, string(f.Name()), text)
		on++
		return true
	})
	if on == 0 {
		row(w, "all off")
	}
}
