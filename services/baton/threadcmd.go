package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// threadCommands look at threads and move control.
type threadCommands struct {
	Ls      threadLs      `cmd:"" help:"List threads."`
	Show    threadShow    `cmd:"" help:"Show a thread: owner, since, until, what waits, what happened."`
	Watch   threadWatch   `cmd:"" help:"Print control changes as they happen."`
	Pass    threadPass    `cmd:"" help:"Hand control to an app or inbox."`
	Take    threadTake    `cmd:"" help:"Give control to an app, whoever has it."`
	Release threadRelease `cmd:"" help:"Make a thread idle."`
}

type threadLs struct {
	Page  string `help:"Only this page." placeholder:"ID"`
	Owner string `help:"Only threads of this app (id or name), or \"idle\"." placeholder:"APP"`
	Limit uint32 `help:"At most this many." default:"100"`
	After string `help:"Go on after this thread." placeholder:"PAGE/USER"`
}

func (c *threadLs) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ListThreads(ctx, connect.NewRequest(&adminv1.ListThreadsRequest{
		PageId: c.Page, Owner: c.Owner, Limit: c.Limit, After: c.After,
	}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "PAGE", "USER", "OWNER", "SINCE", "UNTIL", "REVISION")
		for _, t := range resp.Msg.GetThreads() {
			row(w, t.GetPageId(), t.GetUserId(), ownerOf(t), t.GetSince(), t.GetUntil(), strconv.Itoa(int(t.GetRevision())))
		}
		if next := resp.Msg.GetNext(); next != "" {
			row(w, "… more: --after "+next)
		}
	})
}

func ownerOf(t *adminv1.Thread) string {
	if t.GetOwner() == "" {
		return "idle"
	}
	return t.GetOwnerName()
}

// onThread names a thread on the command line.
type onThread struct {
	Page string `arg:"" name:"page-id" help:"Id of the page or Instagram account."`
	User string `arg:"" name:"user-id" help:"Id of the person."`
}

type threadShow struct {
	onThread
	At     string `help:"State at this time (RFC 3339)." placeholder:"TIME"`
	Events uint32 `help:"How many events of its history." default:"20"`
}

func (c *threadShow) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ShowThread(ctx, connect.NewRequest(&adminv1.ShowThreadRequest{
		PageId: c.Page, UserId: c.User, At: c.At, Events: c.Events,
	}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		printThread(w, resp.Msg.GetThread())
		for _, h := range resp.Msg.GetHints() {
			row(w, "next", h)
		}
		row(w, "history", strconv.Itoa(len(resp.Msg.GetHistory()))+" events, oldest first")
		_ = w.Flush()
		for _, e := range resp.Msg.GetHistory() {
			row(w, "  "+logPlace(e), e.GetDecidedAt(), e.GetKind(), e.GetText())
		}
	})
}

func logPlace(e *adminv1.LogEntry) string {
	return fmt.Sprintf("%d-%d", e.GetPartition(), e.GetPosition())
}

func printThread(w *tabwriter.Writer, t *adminv1.Thread) {
	row(w, "thread", t.GetPageId()+" / "+t.GetUserId())
	row(w, "owner", ownerOf(t))
	row(w, "since", t.GetSince())
	row(w, "until", t.GetUntil())
	row(w, "last message", t.GetLastUserAt())
	row(w, "revision", strconv.Itoa(int(t.GetRevision())))
	if t.GetDone() {
		row(w, "done", "marked done in the inbox")
	}
	for _, r := range t.GetRequests() {
		row(w, "waiting", fmt.Sprintf("%s since %s %s", r.GetAppName(), r.GetSince(), r.GetMetadata()))
	}
	if n := t.GetHeldSurveys(); n > 0 {
		row(w, "held surveys", strconv.Itoa(int(n)))
	}
	if n := t.GetOpenEffects(); n > 0 {
		row(w, "open", fmt.Sprintf("%d without outcome yet", n))
	}
}

type threadWatch struct {
	Page string `arg:"" optional:"" name:"page-id" help:"Only this page."`
	User string `arg:"" optional:"" name:"user-id" help:"Only this person."`
}

func (c *threadWatch) Run(ctx context.Context, g *Global, s *streams) error {
	stream, err := g.admin().WatchThreads(ctx, connect.NewRequest(&adminv1.WatchThreadsRequest{PageId: c.Page, UserId: c.User}))
	if err != nil {
		return untilInterrupted(ctx, err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if err := s.line(g, stream.Msg(), stream.Msg().GetText()); err != nil {
			return err
		}
	}
	return untilInterrupted(ctx, stream.Err())
}

// untilInterrupted makes the end of a watched stream by the user no failure.
func untilInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the user has ended it
	}
	return err
}

// change are the flags of a change of control.
type change struct {
	Metadata string `help:"Metadata for the app that hears of it." placeholder:"TEXT"`
	DryRun   bool   `help:"Say what would happen; change nothing."`
}

type threadPass struct {
	onThread
	Target string `arg:"" name:"app" help:"App (id or name), page-inbox or instagram-inbox."`
	change
}

func (c *threadPass) Run(ctx context.Context, g *Global, s *streams) error {
	return operate(ctx, g, s, &adminv1.OperateRequest{
		PageId: c.Page, UserId: c.User, Verb: "pass", Target: c.Target, Metadata: c.Metadata, DryRun: c.DryRun,
	})
}

type threadTake struct {
	onThread
	Target string `arg:"" name:"app" help:"App that gains control (id or name)."`
	change
}

func (c *threadTake) Run(ctx context.Context, g *Global, s *streams) error {
	return operate(ctx, g, s, &adminv1.OperateRequest{
		PageId: c.Page, UserId: c.User, Verb: "take", Target: c.Target, Metadata: c.Metadata, DryRun: c.DryRun,
	})
}

type threadRelease struct {
	onThread
	change
}

func (c *threadRelease) Run(ctx context.Context, g *Global, s *streams) error {
	return operate(ctx, g, s, &adminv1.OperateRequest{
		PageId: c.Page, UserId: c.User, Verb: "release", Metadata: c.Metadata, DryRun: c.DryRun,
	})
}

func operate(ctx context.Context, g *Global, s *streams, req *adminv1.OperateRequest) error {
	resp, err := g.admin().Operate(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if err := s.print(g, resp.Msg, func(w *tabwriter.Writer) { printThread(w, resp.Msg.GetThread()) }); err != nil {
		return err
	}
	return refused(resp.Msg.GetRefusal())
}

// refused is the verdict of a refusal.
func refused(r *adminv1.Refusal) error {
	if r == nil {
		return nil
	}
	return verdict("refused: %s", r.GetText())
}

// inboxCommands do what a human would do in the inbox.
type inboxCommands struct {
	Reply inboxReply `cmd:"" help:"A human replies."`
	Main  inboxMain  `cmd:"" help:"A human moves the thread to the main folder."`
	Done  inboxDone  `cmd:"" help:"A human marks the thread done."`
}

type inboxReply struct {
	onThread
	Text   string `arg:"" optional:"" help:"What the human writes (simulated platform only)."`
	DryRun bool   `help:"Say what would happen; change nothing."`
}

func (c *inboxReply) Run(ctx context.Context, g *Global, s *streams) error {
	if c.Text != "" {
		return simInboxReply(ctx, g, s, c)
	}
	return inbox(ctx, g, s, &adminv1.InboxRequest{PageId: c.Page, UserId: c.User, Verb: "reply", DryRun: c.DryRun})
}

type inboxMain struct {
	onThread
	DryRun bool `help:"Say what would happen; change nothing."`
}

func (c *inboxMain) Run(ctx context.Context, g *Global, s *streams) error {
	return inbox(ctx, g, s, &adminv1.InboxRequest{PageId: c.Page, UserId: c.User, Verb: "main", DryRun: c.DryRun})
}

type inboxDone struct {
	onThread
	DryRun bool `help:"Say what would happen; change nothing."`
}

func (c *inboxDone) Run(ctx context.Context, g *Global, s *streams) error {
	return inbox(ctx, g, s, &adminv1.InboxRequest{PageId: c.Page, UserId: c.User, Verb: "done", DryRun: c.DryRun})
}

func inbox(ctx context.Context, g *Global, s *streams, req *adminv1.InboxRequest) error {
	resp, err := g.admin().Inbox(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	if err := s.print(g, resp.Msg, func(w *tabwriter.Writer) { printThread(w, resp.Msg.GetThread()) }); err != nil {
		return err
	}
	return refused(resp.Msg.GetRefusal())
}
