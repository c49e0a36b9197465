package control_test

import (
	"maps"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

// A mutant is Decide with one rule broken. The scripts must notice each: a rule
// that can be broken unnoticed is not tested.

// given is what Decide is given.
type given struct {
	state control.State
	env   control.Env
	cmd   control.Command
}

// page changes a copy of the page's rules.
func (g *given) page(change func(*control.Page)) {
	p := *g.env.Page
	p.Apps = maps.Clone(p.Apps)
	change(&p)
	g.env.Page = &p
}

// rare changes a copy of the thread's rare part, if it has one.
func (g *given) rare(change func(*control.Rare)) {
	if g.state.Rare != nil {
		r := *g.state.Rare
		change(&r)
		g.state.Rare = &r
	}
}

// onInput is a mutant that decides on something else than it was given.
func onInput(change func(*given)) controltest.Decider {
	return func(s control.State, env control.Env, c control.Command) ([]control.Event, control.Refusal) {
		g := given{state: s, env: env, cmd: c}
		change(&g)
		return control.Decide(g.state, g.env, g.cmd)
	}
}

// on is onInput for one kind of command.
func on[C control.Command](change func(*given, *C)) controltest.Decider {
	return onInput(func(g *given) {
		if c, ok := g.cmd.(C); ok {
			change(g, &c)
			g.cmd = c
		}
	})
}

// onEvents is a mutant that decides other events; nil drops one.
func onEvents(change func(given, control.Event) control.Event) controltest.Decider {
	return func(s control.State, env control.Env, c control.Command) ([]control.Event, control.Refusal) {
		events, refusal := control.Decide(s, env, c)
		var changed []control.Event
		for _, e := range events {
			if e = change(given{state: s, env: env, cmd: c}, e); e != nil {
				changed = append(changed, e)
			}
		}
		return changed, refusal
	}
}

// event is onEvents for one kind of event.
func event[E control.Event](change func(given, *E)) controltest.Decider {
	return onEvents(func(g given, e control.Event) control.Event {
		if typed, ok := e.(E); ok {
			change(g, &typed)
			return typed
		}
		return e
	})
}

// dropped drops one kind of event.
func dropped[E control.Event]() controltest.Decider {
	return onEvents(func(_ given, e control.Event) control.Event {
		if _, ok := e.(E); ok {
			return nil
		}
		return e
	})
}

func mode(m control.Mode) func(*control.Page) {
	return func(p *control.Page) { p.Mode = m }
}

func controlMutants() map[string]controltest.Decider {
	return map[string]controltest.Decider{
		"a secondary may take from another": on(func(g *given, c *control.Take) {
			g.page(func(p *control.Page) { p.Lead = c.By })
		}),
		"take is allowed in zero_config": on(func(g *given, _ *control.Take) {
			if g.env.Page.Mode == control.ModeZeroConfig {
				g.page(mode(control.ModeHandover))
			}
		}),
		"take needs no toggle": on(func(g *given, c *control.Take) {
			if _, ok := g.env.Page.Apps[c.By]; ok {
				g.page(func(p *control.Page) { p.Apps[c.By] = control.App{CanTake: true} })
			}
		}),
		"the default app needs the toggle": on(func(g *given, _ *control.Take) {
			if g.env.Page.Mode == control.ModeDefaultApp {
				g.page(func(p *control.Page) { p.Lead = 0 })
			}
		}),
		"a take from idle names somebody": event(func(_ given, e *control.Taken) {
			if e.From == 0 {
				e.From = e.To
			}
		}),
		"a pass from idle names the caller as previous owner": event(func(_ given, e *control.Passed) {
			if e.From == 0 {
				e.From = e.By.App
			}
		}),
		"pass reaches apps that are not connected": on(func(g *given, c *control.Pass) {
			if c.Target != 0 && !c.Target.IsInbox() {
				g.page(func(p *control.Page) { p.Apps[c.Target] = control.App{} })
			}
		}),
		"anybody passes": on(func(g *given, c *control.Pass) {
			if g.state.Owner != 0 {
				g.state.Owner = c.By
			}
		}),
		"an idle thread is always passed by anybody": on(func(g *given, _ *control.Pass) {
			g.page(func(p *control.Page) { p.StrictIdlePass = false })
		}),
		"a pass without target goes to the lead in every mode": on(func(g *given, c *control.Pass) {
			if c.Target == 0 {
				c.Target = controltest.A
			}
		}),
		"release goes to the lead": event(func(g given, e *control.Released) { e.To = g.env.Page.Lead }),
		"release always grants": on(func(g *given, _ *control.Release) {
			g.page(func(p *control.Page) { p.AutoGrantOnRelease = true })
		}),
		"release never grants": on(func(g *given, _ *control.Release) {
			g.page(func(p *control.Page) { p.AutoGrantOnRelease = false })
		}),
		"request works with a default app": on(func(g *given, _ *control.RequestControl) {
			if g.env.Page.Mode == control.ModeDefaultApp {
				g.page(mode(control.ModeHandover))
			}
		}),
		"a second request is a new one": event(func(_ given, e *control.Requested) { e.Again = false }),
		"extension shortens": event(func(g given, e *control.Extended) {
			if c, ok := g.cmd.(control.Extend); ok {
				e.ExpiresAt = e.At + c.Duration
			}
		}),
		"extension has no upper bound": on(func(_ *given, c *control.Extend) {
			c.Duration = min(c.Duration, control.MaxExtension)
		}),
		"a repeat is decided again":       onInput(func(g *given) { g.state.LastChange = 0 }),
		"a repeat counts for ever":        onInput(func(g *given) { g.state.LastChangeAt = g.env.Now }),
		"activity breaks the repeat":      event(func(_ given, e *control.Released) { e.Print = 0 }),
		"the owner is shown to everybody": shownOwner,
	}
}

// shownOwner tells everybody who has control.
func shownOwner(s control.State, env control.Env, c control.Command) ([]control.Event, control.Refusal) {
	events, refusal := control.Decide(s, env, c)
	if refusal.Until != 0 {
		refusal.Owner = s.Owner
	}
	return events, refusal
}

func timeMutants() map[string]controltest.Decider {
	return map[string]controltest.Decider{
		"activity does not extend": event(func(_ given, e *control.Routed) {
			if e.UserAt != 0 {
				e.ExpiresAt = 0
			}
		}),
		"reads extend": event(func(g given, e *control.Routed) {
			if e.Kind == control.KindRead && e.Owner != 0 {
				e.ExpiresAt = g.env.Now + control.Day
			}
		}),
		"a lapse has the time of its discovery": event(func(g given, e *control.Expired) { e.At = g.env.Now }),
		"a refusal swallows the lapse":          swallowed,
		"control lapses after the deadline only": onInput(func(g *given) {
			if g.state.ExpiresAt == g.env.Now {
				g.state.ExpiresAt++
			}
		}),
		"what comes late is late": on(func(g *given, c *control.Webhook) { c.At = g.env.Now }),
		"the future counts": event(func(g given, e *control.Routed) {
			if w, ok := g.cmd.(control.Webhook); ok && e.UserAt != 0 {
				e.UserAt = w.At
			}
		}),
		"an app that went keeps control": onInput(func(g *given) {
			if g.state.Owner != 0 && !g.state.Owner.IsInbox() {
				g.page(func(p *control.Page) { p.Apps[g.state.Owner] = control.App{} })
			}
		}),
		"the owner's send never extends": event(func(_ given, e *control.SendAccepted) { e.ExpiresAt = 0 }),
		"the owner's send always extends": onInput(func(g *given) {
			g.page(func(p *control.Page) { p.OwnerSendExtends = true })
		}),
		"an ad's window does not slide":    event(func(_ given, e *control.Assigned) { e.WindowDays = 0 }),
		"an ad's window stays with a pass": event(func(g given, e *control.Passed) { e.WindowDays = g.state.WindowDays }),
		"a bad ad window is the longest": on(func(_ *given, c *control.Webhook) {
			if c.HasWindow && (c.ReceivingDays < 1 || c.ReceivingDays > 30) {
				c.ReceivingDays = 30
			}
		}),
		"the messaging window is not checked": on(func(g *given, _ *control.Send) { g.state.LastUserAt = 0 }),
		"the messaging window excludes its last instant": on(func(g *given, _ *control.Send) {
			g.state.LastUserAt = max(0, g.state.LastUserAt-1)
		}),
		"a human agent has 24 hours": on(func(g *given, c *control.Send) {
			if c.Tag == control.TagHumanAgent && g.env.Now-g.state.LastUserAt > control.Day && g.state.LastUserAt != 0 {
				g.state.LastUserAt = 1
			}
		}),
	}
}

// swallowed forgets the lapse that comes with a refusal.
func swallowed(s control.State, env control.Env, c control.Command) ([]control.Event, control.Refusal) {
	events, refusal := control.Decide(s, env, c)
	if refusal.Refused() {
		events = nil
	}
	return events, refusal
}

func personMutants() map[string]controltest.Decider {
	return map[string]controltest.Decider{
		"the lead does not gain": dropped[control.Assigned](),
		"a tap from idle assigns": onEvents(func(_ given, e control.Event) control.Event {
			if c, ok := e.(control.Captured); ok && c.From == 0 {
				return control.Assigned(c)
			}
			return e
		}),
		"a tap moves nothing": on(func(_ *given, c *control.Webhook) { c.ButtonCreator = 0 }),
		"a creator that went captures": on(func(g *given, c *control.Webhook) {
			if c.ButtonCreator != 0 {
				g.page(func(p *control.Page) { p.Apps[c.ButtonCreator] = control.App{} })
			}
		}),
		"the person's menu loses to others": on(func(g *given, _ *control.Webhook) {
			g.rare(func(r *control.Rare) { r.UserMenu, r.UserMenuItems = 0, nil })
		}),
		"get started is a menu item": on(func(g *given, _ *control.Webhook) {
			g.page(func(p *control.Page) { p.GetStarted = 0 })
		}),
		"links preempt": on(func(g *given, _ *control.Webhook) {
			g.page(func(p *control.Page) { p.LinkPreempts = true })
		}),
		"links never preempt": on(func(g *given, _ *control.Webhook) {
			g.page(func(p *control.Page) { p.LinkPreempts = false })
		}),
		"ads do not preempt": on(func(g *given, c *control.Webhook) {
			if g.state.Owner != 0 {
				c.Ad, c.ReceivingApp = "", 0
			}
		}),
		"the page's ad wins over the referral's": on(func(_ *given, c *control.Webhook) { c.ReceivingApp = 0 }),
		"there is no social route": on(func(g *given, _ *control.Webhook) {
			g.page(func(p *control.Page) { p.Social = 0 })
		}),
		"a message leaves the done mark":      event(func(_ given, e *control.Routed) { e.ClearDone = false }),
		"answers go to the owner":             event(func(_ given, e *control.Routed) { e.Creator = 0 }),
		"answers always go to the last one":   on(func(_ *given, c *control.Webhook) { c.Questions = nil }),
		"a survey is refused, not held":       on(func(_ *given, c *control.Send) { c.Survey = nil }),
		"held surveys stay on an idle thread": dropped[control.SurveyDelivered](),
		"a grant lets surveys go": on(func(g *given, _ *control.Release) {
			g.rare(func(r *control.Rare) { r.Requests = nil })
		}),
		"surveys wait for ever": on(func(g *given, _ *control.Due) {
			g.rare(func(r *control.Rare) {
				r.Held = append([]control.Survey(nil), r.Held...)
				for i := range r.Held {
					r.Held[i].ExpiresAt += control.Day
				}
			})
		}),
	}
}

func TestEveryMutantIsCaught(t *testing.T) {
	t.Parallel()
	blocks := controltest.Load(t, "testdata/*/*.txt")
	count := 0
	for _, mutants := range []map[string]controltest.Decider{
		controlMutants(), timeMutants(), personMutants(), sendMutants(), inboxMutants(),
	} {
		for name, decide := range mutants {
			count++
			if !caught(blocks, decide) {
				t.Errorf("nothing notices that %s", name)
			}
		}
	}
	if count < 30 {
		t.Errorf("only %d mutants", count)
	}
}

func caught(blocks []controltest.Block, decide controltest.Decider) bool {
	for _, b := range blocks {
		for _, mode := range b.Modes {
			if controltest.Check(b, mode, controltest.Options{Decide: decide}) != "" {
				return true
			}
		}
	}
	return false
}
