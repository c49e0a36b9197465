package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	"github.com/baton-router/baton/services/demoapps"
	"github.com/baton-router/baton/services/simulator"
)

// demoCommand plays a conversation by itself.
type demoCommand struct{}

// demoWithin bounds the whole story.
const demoWithin = 2 * time.Minute

func (demoCommand) Run(ctx context.Context, s *streams) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	dir, err := os.MkdirTemp("", "baton-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	st := &story{out: s.out}
	st.cond = sync.NewCond(&st.mu)
	d, err := startDev(ctx, devOptions{dataDir: dir, logLevel: "error", errors: s.err, freePorts: true, say: st.say, onDelivery: st.note, quiet: true})
	if err != nil {
		return openFailure(err)
	}
	st.dev, st.page, st.person = d, d.cfg.Pages[0].ID, fmt.Sprint(uint64(defaultPerson))
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.node.run(running) }()
	err = st.play(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// story is the demo under way: it waits for what must happen, never for time.
type story struct {
	dev          *devNode
	page, person string
	mu           sync.Mutex
	cond         *sync.Cond
	out          io.Writer
	seen         []string
}

func (st *story) say(format string, args ...any) {
	st.mu.Lock()
	defer st.mu.Unlock()
	_, _ = fmt.Fprintf(st.out, format+"\n", args...)
}

// note remembers a delivery.
func (st *story) note(d demoapps.Delivery) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.seen = append(st.seen, d.String())
	st.cond.Broadcast()
}

// await waits until each of the deliveries has come, in any order, and prints
// them in the order of the script: apps run side by side, so the order in which
// their lines come is no part of the story.
func (st *story) await(ctx context.Context, want ...string) error {
	stop := context.AfterFunc(ctx, st.cond.Broadcast)
	defer stop()
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, w := range want {
		for !st.take(w) {
			if ctx.Err() != nil {
				return fmt.Errorf("the story waited in vain for %q; what came: %q", w, st.seen)
			}
			st.cond.Wait()
		}
	}
	return nil
}

// take prints and removes the first delivery that begins as wanted.
func (st *story) take(want string) bool {
	for i, line := range st.seen {
		if strings.HasPrefix(line, want) {
			_, _ = fmt.Fprintln(st.out, line)
			st.seen = slices.Delete(st.seen, i, i+1)
			return true
		}
	}
	return false
}

// step is one scene: what is done, and the deliveries that must follow.
type step struct {
	title string
	do    func(context.Context) error
	await []string
}

// play plays the scenes and proves the log at the end.
func (st *story) play(ctx context.Context) error {
	if err := st.dev.ready(ctx); err != nil {
		return err
	}
	// Receipts would only drown the story.
	page, _ := control.ParseID(st.page)
	if err := st.dev.node.simulator.SetSwitches(page, simulator.Switches{DropDeliveries: true, DropReads: true}); err != nil {
		return err
	}
	for i, s := range st.script() {
		st.say("\n%d. %s", i+1, s.title)
		if err := s.do(ctx); err != nil {
			return err
		}
		if err := st.await(ctx, s.await...); err != nil {
			return err
		}
	}
	st.say("\nThe log proves it")
	return st.prove(ctx)
}

func (st *story) script() []step {
	return []step{
		{
			"A person asks. faq-bot is primary, so it gains control; the others listen.",
			st.writes("where is my order?"),
			[]string{
				`→ faq-bot messaging "where`, "→ agent standby", "→ survey standby",
				"→ faq-bot messaging echo", "→ agent standby echo", "→ survey standby echo",
			},
		},
		{"The survey app speaks out of turn. Baton refuses the send.", st.outOfTurn, nil},
		{
			"The person wants a human. faq-bot passes control to live-agent, with the reason.",
			st.writes("agent"),
			[]string{
				`→ faq-bot messaging "agent"`, "→ agent standby", "→ survey standby",
				"→ faq-bot messaging echo", "→ agent standby echo", "→ survey standby echo",
				"→ agent messaging pass_thread_control",
				"→ agent messaging echo", "→ faq-bot standby echo", "→ survey standby echo",
			},
		},
		{
			"The person says goodbye. The survey waits until live-agent has released control.",
			st.writes("thanks, bye"),
			[]string{
				`→ agent messaging "thanks`, "→ faq-bot standby", "→ survey standby",
				"→ agent messaging echo", "→ faq-bot standby echo", "→ survey standby echo",
				"→ survey standby echo", "→ faq-bot standby echo", "→ agent standby echo",
			},
		},
		{
			"A new question on the idle thread: the primary has it again.",
			st.writes("what are your opening hours?"),
			[]string{
				`→ faq-bot messaging "what`, "→ agent standby", "→ survey standby",
				"→ faq-bot messaging echo", "→ agent standby echo", "→ survey standby echo",
			},
		},
		{"A day passes without a word. Control lapses.", st.aDayPasses, nil},
	}
}

func (st *story) writes(text string) func(context.Context) error {
	return func(context.Context) error {
		st.say("person: %s", text)
		page, _ := control.ParseID(st.page)
		_, err := st.dev.node.simulator.Message(page, defaultPerson, text, simulator.MessageOptions{})
		return err
	}
}

// outOfTurn makes an app send although another one has control.
func (st *story) outOfTurn(ctx context.Context) error {
	_, err := st.dev.apps.Send(ctx, demoapps.Survey, defaultPerson, "Buy one, get one free!")
	if err == nil {
		return errors.New("the send was not refused")
	}
	st.say("survey app sends … refused: %v", err)
	return nil
}

func (st *story) aDayPasses(ctx context.Context) error {
	forward := 25 * time.Hour
	if _, err := st.dev.node.simulator.Clock(forward); err != nil {
		return err
	}
	st.say("clock: +%s", forward)
	for ctx.Err() == nil {
		resp, err := st.admin().ShowThread(ctx, connect.NewRequest(&adminv1.ShowThreadRequest{PageId: st.page, UserId: st.person}))
		if err != nil {
			return err
		}
		if resp.Msg.GetThread().GetOwner() == "" {
			for _, e := range resp.Msg.GetHistory() {
				if e.GetKind() != "routed" && !strings.HasPrefix(e.GetKind(), "send_") {
					st.say("  %-17s %s", e.GetKind(), e.GetText())
				}
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return ctx.Err()
}

func (st *story) admin() adminv1connect.AdminServiceClient {
	return (&Global{Admin: st.dev.node.adminURL()}).admin()
}

// prove verifies the chain and compares replay with the running store.
func (st *story) prove(ctx context.Context) error {
	verify, err := st.admin().VerifyLog(ctx, connect.NewRequest(&adminv1.VerifyLogRequest{}))
	if err != nil {
		return err
	}
	replay, err := st.admin().Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
	if err != nil {
		return err
	}
	st.say("hash chain %s over %d events; replay %s the running store", intact(verify.Msg.GetOk()), verify.Msg.GetEvents(), agrees(replay.Msg.GetEqual()))
	if !verify.Msg.GetOk() || !replay.Msg.GetEqual() {
		return verdict("the log does not prove it: %v", verify.Msg.GetFaults())
	}
	return nil
}

func agrees(equal bool) string {
	if equal {
		return "agrees with"
	}
	return "DIFFERS from"
}
