package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// deliveryCommands look at deliveries and send what was given up again.
type deliveryCommands struct {
	Ls     deliveryLs     `cmd:"" help:"List dead letters, or the attempts in this node's delivery log."`
	Show   deliveryShow   `cmd:"" help:"Show all that is known of a delivery."`
	Resend deliveryResend `cmd:"" help:"Deliver dead letters again, with the ids they had."`
	Drop   deliveryDrop   `cmd:"" help:"Forget dead letters."`
}

// deliveryFilter selects deliveries on the command line.
type deliveryFilter struct {
	App       string `help:"Only of this app, by id or name."`
	Page      string `help:"Only of this page or Instagram account."`
	User      string `help:"Only of this person."`
	Partition int32  `help:"Only of this partition." default:"-1"`
	From      uint64 `help:"Only from this position of the partition on."`
	To        uint64 `help:"Only up to this position of the partition."`
	Since     string `help:"Only since this time, RFC 3339."`
	Until     string `help:"Only before this time, RFC 3339."`
	Class     string `help:"Only with this outcome, answer, failure or status: exhausted, rejected, retention, timeout, dns, 502 …"`
}

func (f *deliveryFilter) request() *adminv1.DeliveryFilter {
	return &adminv1.DeliveryFilter{
		App: f.App, PageId: f.Page, UserId: f.User, Partition: f.Partition, FromPosition: f.From, ToPosition: f.To, Since: f.Since,
		Until: f.Until, Class: f.Class,
	}
}

type deliveryLs struct {
	deliveryFilter
	Attempts bool   `help:"List attempts of this node, newest first, instead of dead letters."`
	Failed   bool   `help:"With --attempts: only those that failed."`
	Limit    uint32 `short:"n" help:"At most this many." default:"100"`
}

func (c *deliveryLs) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ListDeliveries(ctx, connect.NewRequest(&adminv1.ListDeliveriesRequest{
		Filter: c.request(), Limit: c.Limit, Attempts: c.Attempts, Failed: c.Failed,
	}))
	if err != nil {
		return err
	}
	if resp.Msg.GetMore() {
		_, _ = fmt.Fprintf(s.err, "baton: there are more; --limit shows up to 10000\n")
	}
	s.elsewhere(resp.Msg.GetElsewhere())
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		if c.Attempts {
			printAttempts(w, resp.Msg.GetAttempts())
		} else {
			printDead(w, resp.Msg.GetDead())
		}
	})
}

// elsewhere says which nodes have attempts of their own.
func (s *streams) elsewhere(nodes []string) {
	if len(nodes) > 0 {
		_, _ = fmt.Fprintf(s.err, "baton: attempts are in the delivery log of the node that made them; others deliver too: %s (--admin)\n",
			strings.Join(nodes, ", "))
	}
}

func printDead(w *tabwriter.Writer, dead []*adminv1.DeadDelivery) {
	row(w, "ID", "APP", "THREAD", "CHANNEL", "OUTCOME", "ATTEMPTS", "LAST ANSWER", "DECIDED", "GIVEN UP")
	for _, d := range dead {
		row(w, d.GetId(), d.GetAppName(), d.GetPageId()+"/"+d.GetUserId(), d.GetChannel(), d.GetOutcome(), strconv.Itoa(int(d.GetAttempts())),
			answerText(d.GetAnswer(), d.GetFailure(), d.GetStatus()), d.GetDecidedAt(), d.GetBuriedAt())
	}
}

// answerText is how a POST ended, in a few words.
func answerText(answer, failure string, status uint32) string {
	text := answer
	switch {
	case status > 0:
		text += " " + strconv.Itoa(int(status))
	case failure != "" && failure != answer:
		text += " (" + failure + ")"
	}
	return text
}

func printAttempts(w *tabwriter.Writer, attempts []*adminv1.DeliveryAttempt) {
	row(w, "BEGUN", "APP", "IDS", "ATTEMPT", "ANSWER", "TOOK", "AGAIN")
	for _, a := range attempts {
		ids := a.GetIds()
		text := strings.Join(ids[:min(len(ids), 3)], ",")
		if n := len(ids) - 3; n > 0 {
			text += fmt.Sprintf(" +%d", n)
		}
		row(w, a.GetStartedAt(), a.GetAppName(), text, strconv.Itoa(int(a.GetAttempt())),
			answerText(a.GetAnswer(), a.GetFailure(), a.GetStatus()), micros(a.GetTookUs()), a.GetNextAt())
	}
}

func micros(us int64) string { return (time.Duration(us) * time.Microsecond).String() }

type deliveryShow struct {
	ID  string `arg:"" help:"Delivery id: <partition>-<position>."`
	App string `help:"Only for this app, by id or name."`
}

func (c *deliveryShow) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ShowDelivery(ctx, connect.NewRequest(&adminv1.ShowDeliveryRequest{Id: c.ID, App: c.App}))
	if err != nil {
		return err
	}
	s.elsewhere(resp.Msg.GetElsewhere())
	if len(resp.Msg.GetDead())+len(resp.Msg.GetAttempts()) == 0 {
		return fmt.Errorf("nothing is known of %s: it is no dead letter, and this node's delivery log has no attempt of it", c.ID)
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		for _, d := range resp.Msg.GetDead() {
			row(w, "dead letter", d.GetAppName(), d.GetOutcome(), "given up "+d.GetBuriedAt()+" after "+strconv.Itoa(int(d.GetAttempts()))+" attempts")
			row(w, "thread", d.GetPageId()+"/"+d.GetUserId(), d.GetChannel(), "decided "+d.GetDecidedAt())
			if d.GetError() != "" {
				row(w, "error", d.GetError())
			}
		}
		for _, a := range resp.Msg.GetAttempts() {
			printAttempt(w, a)
		}
	})
}

func printAttempt(w *tabwriter.Writer, a *adminv1.DeliveryAttempt) {
	row(w, "")
	row(w, "attempt", fmt.Sprintf("%d of %s to %s, %s", a.GetAttempt(), strings.Join(a.GetIds(), ","), a.GetAppName(), a.GetStartedAt()))
	row(w, "answer", answerText(a.GetAnswer(), a.GetFailure(), a.GetStatus()), a.GetError())
	row(w, "took", fmt.Sprintf("%s: connection %s, first byte %s", micros(a.GetTookUs()), connection(a), micros(a.GetFirstByteUs())))
	if a.GetNextAt() != "" {
		row(w, "again", a.GetNextAt())
	}
	row(w, "POST", a.GetCallbackUrl())
	for _, h := range a.GetRequestHeaders() {
		row(w, "", h)
	}
	row(w, fmt.Sprintf("body of %d", a.GetRequestBytes()), a.GetRequestBody())
	for _, h := range a.GetResponseHeaders() {
		row(w, "", h)
	}
	row(w, "answered", a.GetResponseBody())
}

func connection(a *adminv1.DeliveryAttempt) string {
	if a.GetReused() {
		return "kept"
	}
	return micros(a.GetConnectUs())
}

type deliveryResend struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Delivery ids: <partition>-<position>."`
	deliveryFilter
	All    bool   `help:"Every dead letter."`
	Limit  uint32 `short:"n" help:"At most this many, oldest first." default:"10000"`
	DryRun bool   `help:"Say which; change nothing."`
}

func (c *deliveryResend) Run(ctx context.Context, g *Global, s *streams) error {
	return c.settle(ctx, g, s, false)
}

type deliveryDrop struct{ deliveryResend }

func (c *deliveryDrop) Run(ctx context.Context, g *Global, s *streams) error {
	return c.settle(ctx, g, s, true)
}

// settle resends or drops what was named or selected.
func (c *deliveryResend) settle(ctx context.Context, g *Global, s *streams, drop bool) error {
	selections, err := c.selections()
	if err != nil {
		return err
	}
	all := &adminv1.ResendDeliveriesResponse{}
	for _, f := range selections {
		resp, err := g.admin().ResendDeliveries(ctx, connect.NewRequest(&adminv1.ResendDeliveriesRequest{
			Filter: f, All: c.All, Drop: drop, DryRun: c.DryRun, Limit: c.Limit,
		}))
		if err != nil {
			return err
		}
		if len(c.IDs) > 0 && len(resp.Msg.GetDeliveries())+len(resp.Msg.GetFaults()) == 0 {
			all.Faults = append(all.Faults, fmt.Sprintf("%d-%d is no dead letter", f.GetPartition(), f.GetFromPosition()))
		}
		all.Deliveries = append(all.Deliveries, resp.Msg.GetDeliveries()...)
		all.Faults = append(all.Faults, resp.Msg.GetFaults()...)
		all.More = all.More || resp.Msg.GetMore()
	}
	if c.DryRun {
		_, _ = fmt.Fprintln(s.err, "baton: dry run: nothing was changed")
	}
	if err := s.print(g, all, func(w *tabwriter.Writer) { printDead(w, all.GetDeliveries()) }); err != nil {
		return err
	}
	if len(all.GetFaults()) > 0 {
		return fmt.Errorf("not all: %s", strings.Join(all.GetFaults(), "; "))
	}
	return nil
}

// selections are the filters of the ids, or the one of the flags.
func (c *deliveryResend) selections() ([]*adminv1.DeliveryFilter, error) {
	if len(c.IDs) == 0 {
		return []*adminv1.DeliveryFilter{c.request()}, nil
	}
	var list []*adminv1.DeliveryFilter
	for _, id := range c.IDs {
		head, rest, ok := strings.Cut(id, "-")
		partition, err := strconv.ParseUint(head, 10, 16)
		position, positionErr := strconv.ParseUint(rest, 10, 64)
		if !ok || err != nil || positionErr != nil || position == 0 {
			return nil, usage("%q is not a delivery id: <partition>-<position>", id)
		}
		f := c.request()
		f.Partition, f.FromPosition, f.ToPosition = int32(partition), position, position
		list = append(list, f)
	}
	return list, nil
}
