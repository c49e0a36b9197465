package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// do does what a step says. The answer is that of a call.
func (c *run) do(ctx context.Context, s *Step) (answered, error) {
	if c.unsettled && (s.Call != "" || s.Own != "" || s.Button != nil) {
		if err := c.fence(ctx); err != nil { // calls do not wait for events that are on their way
			return answered{}, err
		}
	}
	c.unsettled = c.unsettled || s.Event != "" || s.Inbox != "" || strings.HasPrefix(s.Own, "X")
	switch {
	case s.Call != "":
		got, err := c.request(ctx, s)
		if err == nil {
			c.remember(s, got)
		}
		return got, err
	case s.Event == "again":
		return answered{}, c.postBody(ctx, c.body)
	case s.Event != "":
		return answered{}, c.event(ctx, s)
	case s.Inbox != "":
		return answered{}, c.inbox(ctx, s)
	case s.Own != "":
		return answered{}, c.own(ctx, s.Own)
	case s.Button != nil:
		return answered{}, c.button(ctx, s.Button)
	case s.Wait != 0:
		c.kit.rest(c)
		defer c.kit.work(c)
		return answered{}, c.kit.time.sleep(ctx, time.Duration(s.Wait))
	case s.Lead != "":
		c.page.settings.Lead = s.Lead
		return answered{}, c.kit.apply(ctx)
	case s.Platform != "":
		c.silent = s.Platform == "silent"
		return answered{}, c.kit.steward.Platform(ctx, c.page.id, s.Platform)
	}
	return answered{}, fmt.Errorf("nothing to do")
}

// remember keeps what later steps refer to.
func (c *run) remember(s *Step, got answered) {
	if got.status != 200 {
		return
	}
	switch s.Call {
	case "send":
		if s.Action != "" {
			return
		}
		body, _ := decode(got.body)
		c.sent = sentMessage{by: s.By, text: s.textOf(), metadata: s.Metadata}
		c.sent.mid, _ = field(body, "message_id").(string)
	case "unsubscribe":
		c.gone[s.By] = true
	case "subscribe":
		delete(c.gone, s.By)
	}
}

// own brings the thread from idle under the control of an app or the inbox, in
// the way that the mode documents.
func (c *run) own(ctx context.Context, who string) error {
	c.owner = who
	if strings.HasPrefix(who, "X") {
		return c.event(ctx, &Step{Event: "take_thread_control", From: "N", To: who})
	}
	s := &Step{Call: "take", By: who}
	switch {
	case c.mode == ZeroConfig:
		s.Call = "request"
	case c.mode == DefaultApp && who != c.page.lead() && who != "T" && who != "H":
		s = &Step{Call: "pass", By: "A", To: who}
	}
	return c.must(ctx, s)
}

// button lets an app send a button: it gains control, sends, and releases.
func (c *run) button(ctx context.Context, b *Button) error {
	if err := c.own(ctx, b.By); err != nil {
		return err
	}
	send := &Step{Call: "send", By: b.By, Buttons: []string{b.Payload}}
	got, err := c.request(ctx, send)
	if err != nil {
		return err
	}
	if got.status != 200 {
		return fmt.Errorf("%w: %s was answered %s", errFailed, send.describe(), got)
	}
	c.remember(send, got)
	if err := c.awaitEcho(ctx, send, got); err != nil {
		return err
	}
	c.owner = ""
	return c.must(ctx, &Step{Call: "release", By: b.By})
}

// must makes a call that has to succeed.
func (c *run) must(ctx context.Context, s *Step) error {
	got, err := c.request(ctx, s)
	if err == nil && got.status != 200 {
		err = fmt.Errorf("%w: %s was answered %s", errFailed, s.describe(), got)
	}
	return err
}

// inbox is what a human in the inbox does, as the platform reports it: a reply
// is an echo with the inbox's app id, a move to the main folder a take from
// Baton's app, Done a pass back to it.
func (c *run) inbox(ctx context.Context, s *Step) error {
	switch s.Inbox {
	case "reply":
		return c.event(ctx, &Step{Event: "echo", App: "X", Text: "a human answers"})
	case "main":
		return c.event(ctx, &Step{Event: "take_thread_control", From: "N", To: "X", Metadata: s.Metadata})
	}
	return c.event(ctx, &Step{Event: "pass_thread_control", From: "X", To: "N", Metadata: s.Metadata})
}

// describe is a step in a few words.
func (s *Step) describe() string {
	words := []string{}
	add := func(what, value string) {
		if value != "" {
			words = append(words, strings.TrimSpace(what+" "+value))
		}
	}
	add("call", s.Call)
	add("event", s.Event)
	add("inbox", s.Inbox)
	add("own", s.Own)
	add("lead", s.Lead)
	if s.Wait != 0 {
		add("wait", time.Duration(s.Wait).String())
	}
	if s.Race != nil {
		add("race of", fmt.Sprint(len(s.Race)))
	}
	add("by", s.By)
	add("to", s.To)
	add("of", s.Of)
	return strings.Join(words, " ")
}
