package controltest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// pageSetting applies one KEY=VALUE of a page line. Keys with an object are
// written KEY:OBJECT=VALUE.
func (w *World) pageSetting(p *control.Page, s pair) error {
	key, object, _ := strings.Cut(s.key, ":")
	app, appErr := appOf(s.value)
	switch key {
	case "lead":
		p.Lead = app
	case "social":
		p.Social = app
	case "link":
		p.Links[object] = app
	case "menu":
		p.Menu[control.PayloadHash(object)] = app
	case "connect":
		p.Apps[app] = control.App{}
	case "gone":
		delete(p.Apps, app)
	case "develops":
		p.Apps[app] = control.App{Development: true}
	case "tester":
		p.Apps[app] = control.App{Development: true, Testers: map[uint64]struct{}{Person: {}}}
	case "human":
		p.Apps[app] = control.App{HumanAgent: true}
	case "extended":
		w.Extended[app] = true
	default:
		return w.pageValue(p, key, object, s.value)
	}
	return appErr
}

func (w *World) pageValue(p *control.Page, key, object, value string) error {
	switch key {
	case "ad":
		name, days, _ := strings.Cut(value, "/")
		app, err := appOf(name)
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(days, 10, 8)
		p.Ads[object] = control.Ad{App: app, Days: uint8(n)}
		return err
	case "get_started":
		p.GetStarted = control.PayloadHash(value)
	case "expiry":
		d, err := span(value)
		p.Expiry = d
		return err
	case "idle":
		p.IdleChannel = control.ChannelStandby
		if value == "messaging" {
			p.IdleChannel = control.ChannelMessaging
		}
	case "object":
		p.Object = control.ObjectPage
		if value == "instagram" {
			p.Object = control.ObjectInstagram
		}
	case "without":
		app, err := appOf(object)
		w.Without[app] = append(w.Without[app], strings.Split(value, ",")...)
		return err
	default:
		return fmt.Errorf("no page setting %q", key)
	}
	return nil
}
