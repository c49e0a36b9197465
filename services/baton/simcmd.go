package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"

	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
)

// simCommands are the people on the simulated platform.
type simCommands struct {
	Message  simMessage  `cmd:"" help:"A person writes."`
	Postback simPostback `cmd:"" help:"A person taps a button or menu item."`
	Ad       simAd       `cmd:"" help:"A person comes from a click-to-Messenger ad."`
	Clock    simClock    `cmd:"" help:"Move the simulated clock forward, for example +24h."`
	Show     simShow     `cmd:"" help:"Show what a person sees."`
	Referral simReferral `cmd:"" help:"A person follows a link with a ref."`
	Feedback simFeedback `cmd:"" help:"A person answers the latest survey."`
	Switches simSwitches `cmd:"" help:"Read the platform's faults, or set them."`
}

// person splits [PAGE_ID USER_ID] VALUE: without ids the simulator's only page
// and its default person are meant.
func person(args []string, what string) (page, user, value string, err error) {
	switch len(args) {
	case 1:
		return "", "", args[0], nil
	case 3:
		return args[0], args[1], args[2], nil
	}
	return "", "", "", usage("want %s, or PAGE_ID USER_ID %s", what, what)
}

type simMessage struct {
	Args []string `arg:"" name:"[page-id user-id] text" help:"What the person writes, after page and person if they are not the default ones."`
}

func (c *simMessage) Run(ctx context.Context, g *Global, s *streams) error {
	page, user, text, err := person(c.Args, "TEXT")
	if err != nil {
		return err
	}
	resp, err := g.sim().Message(ctx, connect.NewRequest(&simv1.MessageRequest{PageId: page, UserId: user, Text: text}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "sent", resp.Msg.GetMid()) })
}

type simPostback struct {
	Args []string `arg:"" name:"[page-id user-id] payload" help:"Payload of the tapped button, after page and person if they are not the default ones."`
}

func (c *simPostback) Run(ctx context.Context, g *Global, s *streams) error {
	page, user, payload, err := person(c.Args, "PAYLOAD")
	if err != nil {
		return err
	}
	resp, err := g.sim().Postback(ctx, connect.NewRequest(&simv1.PostbackRequest{PageId: page, UserId: user, Payload: payload}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "tapped", resp.Msg.GetTitle(), resp.Msg.GetMid()) })
}

type simAd struct {
	Args []string `arg:"" name:"[page-id user-id] ad-id" help:"Id of the ad, after page and person if they are not the default ones."`
	Text string   `help:"What the person writes with it; empty for a mere click." placeholder:"TEXT"`
}

func (c *simAd) Run(ctx context.Context, g *Global, s *streams) error {
	page, user, ad, err := person(c.Args, "AD_ID")
	if err != nil {
		return err
	}
	resp, err := g.sim().Ad(ctx, connect.NewRequest(&simv1.AdRequest{PageId: page, UserId: user, AdId: ad, Text: c.Text}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "clicked", ad, resp.Msg.GetMid()) })
}

type simClock struct {
	Forward string `arg:"" optional:"" help:"How far forward, for example +24h; empty to read it." placeholder:"+DURATION"`
}

func (c *simClock) Run(ctx context.Context, g *Global, s *streams) error {
	var forward time.Duration
	if c.Forward != "" {
		d, err := time.ParseDuration(c.Forward)
		if err != nil || d < 0 {
			return usage("%q is not a duration forward, such as +24h or +90m", c.Forward)
		}
		forward = d
	}
	resp, err := g.sim().Clock(ctx, connect.NewRequest(&simv1.ClockRequest{ForwardMs: forward.Milliseconds()}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "now", time.UnixMilli(resp.Msg.GetNowMs()).UTC().Format(time.RFC3339))
		row(w, "offset", (time.Duration(resp.Msg.GetOffsetMs()) * time.Millisecond).String())
	})
}

type simShow struct {
	Page string `arg:"" optional:"" name:"page-id" help:"Page; the only one by default."`
	User string `arg:"" optional:"" name:"user-id" help:"Person; the default one by default."`
}

func (c *simShow) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.sim().Transcript(ctx, connect.NewRequest(&simv1.TranscriptRequest{PageId: c.Page, UserId: c.User}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		for _, l := range resp.Msg.GetLines() {
			row(w, speaker(l.GetSpeaker()), l.GetText())
		}
	})
}

func speaker(s simv1.Speaker) string {
	switch s {
	case simv1.Speaker_SPEAKER_PERSON:
		return "person"
	case simv1.Speaker_SPEAKER_INBOX:
		return "inbox"
	default:
		return "page"
	}
}

// simInboxReply lets the simulated human write a text.
func simInboxReply(ctx context.Context, g *Global, s *streams, c *inboxReply) error {
	if c.DryRun {
		return usage("--dry-run goes without a text")
	}
	resp, err := g.sim().Inbox(ctx, connect.NewRequest(&simv1.InboxRequest{
		PageId: c.Page, UserId: c.User, Action: simv1.InboxAction_INBOX_ACTION_REPLY, Text: c.Text,
	}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) { row(w, "replied", fmt.Sprint(resp.Msg.GetMid())) })
}
