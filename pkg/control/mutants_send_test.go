package control_test

import (
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/control/controltest"
)

func sendMutants() map[string]controltest.Decider {
	return map[string]controltest.Decider{
		"everybody is a human agent": on(func(g *given, c *control.Send) {
			if _, ok := g.env.Page.Apps[c.By]; ok {
				g.page(func(p *control.Page) { p.Apps[c.By] = control.App{HumanAgent: true, CanTake: true} })
			}
		}),
		"a human agent waits for control": on(func(g *given, c *control.Send) {
			if g.env.Page.Mode == control.ModeHandover && g.env.Page.Apps[c.By].HumanAgent {
				c.Tag = control.TagFeedback
			}
		}),
		"a human agent does not take": dropped[control.Taken](),
		"an idle thread with a default app is open to all": on(func(g *given, _ *control.Send) {
			if g.state.Owner == 0 && g.env.Page.Mode == control.ModeDefaultApp {
				g.page(mode(control.ModeHandover))
			}
		}),
		"idle sends are never the owner's alone": on(func(g *given, _ *control.Send) {
			g.page(func(p *control.Page) { p.IdleSendOwnerOnly = false })
		}),
		"zero_config is never taken at its word": on(func(g *given, _ *control.Send) {
			g.page(func(p *control.Page) { p.ZeroConfigLiteral = false })
		}),
		"thread_control in every mode": on(func(_ *given, c *control.Send) { c.Control = control.SendControl{} }),
		"thread_control is carried out at once": event(func(_ given, e *control.SendAccepted) {
			e.Control = control.SendControl{}
		}),
		"thread_control is carried out after control was lost": event(func(_ given, e *control.SendConfirmed) {
			e.SkippedControl = false
		}),
		"a repeated key sends twice":       on(func(_ *given, c *control.Send) { c.Call.Key = [16]byte{} }),
		"an echo does not confirm":         dropped[control.SendConfirmed](),
		"an echo goes to the owner of now": event(func(g given, e *control.Routed) { e.Owner = g.state.Owner }),
		"an echo does not wait": on(func(g *given, c *control.Webhook) {
			if c.EchoApp == g.env.Page.BatonApp && c.Sent == nil {
				c.EchoApp = controltest.F
			}
		}),
		"a send stays open for ever": dropped[control.SendFailed](),
		"a foreign app is the inbox": on(func(_ *given, c *control.Webhook) {
			if c.EchoApp == controltest.F {
				c.EchoApp = 0
			}
		}),
		"development apps message everybody": on(func(g *given, c *control.Send) {
			if g.env.Page.Apps[c.By].Development {
				g.page(func(p *control.Page) { p.Apps[c.By] = control.App{} })
			}
		}),
	}
}

func inboxMutants() map[string]controltest.Decider {
	return map[string]controltest.Decider{
		"a reply on a done thread takes it": on(func(g *given, c *control.Webhook) {
			if c.Kind == control.KindEcho {
				g.state.Done = false
			}
		}),
		"done goes to the default app":  event(func(g given, e *control.InboxDone) { e.To = g.env.Page.Lead }),
		"done leaves no mark":           event(func(_ given, e *control.InboxDone) { e.Done = false }),
		"a human's reply takes nothing": dropped[control.InboxTaken](),
		"no side is mirrored": event(func(_ given, e *control.Passed) {
			e.MirrorSide, e.WantInbox, e.ID = false, false, 0
		}),
		"the platform's report is mirrored back": event(func(g given, e *control.InboxTaken) {
			if e.PlatformSide {
				e.PlatformSide, e.MirrorSide, e.ID = false, true, g.env.Position
			}
		}),
		"a report of the side is not noted": event(func(_ given, e *control.Routed) { e.SideReported = false }),
		"a refused side is given up":        dropped[control.SideRefused](),
		"a refused side is tried at once":   event(func(_ given, e *control.SideRefused) { e.NextAt = e.At }),
		"anybody sets the person's menu": on(func(g *given, c *control.SetUserMenu) {
			if g.state.Owner != 0 {
				g.state.Owner = c.By
			}
		}),
	}
}
