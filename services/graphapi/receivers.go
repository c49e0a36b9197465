package graphapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
)

// secondaryReceivers is secondary_receivers: row 100, protocol 12.18. The
// roster alone answers it.
func (s *Service) secondaryReceivers(_ context.Context, c *call) (reply, error) {
	query := graph.DecodeReceiversQuery(c.params)
	rules := c.caller.Asset.Rules
	apps, refusal := control.Receivers(rules, c.caller.App.Number)
	if refusal.Refused() {
		return reply{}, Refusal(refusal, rules)
	}
	list := make([]graph.Receiver, 0, len(apps))
	for _, id := range apps {
		r := graph.Receiver{ID: id.String()}
		if slices.Contains(query.Fields, "name") {
			r.Name = s.appName(c, id)
		}
		list = append(list, r)
	}
	body, err := graph.List(list, cursors(list))
	if err != nil {
		return reply{}, fmt.Errorf("encode the receivers: %w", err)
	}
	return success(body), nil
}

func (s *Service) appName(c *call, id control.AppID) string {
	if id == control.PageInbox {
		return "Page Inbox"
	}
	if id == control.InstagramInbox {
		return "Instagram Inbox"
	}
	if app, ok := c.snapshot.App(id); ok {
		return app.Name
	}
	return ""
}

// cursors are the ends of a list, opaque to clients.
func cursors(list []graph.Receiver) graph.Cursors {
	if len(list) == 0 {
		return graph.Cursors{}
	}
	encode := base64.RawURLEncoding.EncodeToString
	return graph.Cursors{Before: encode([]byte(list[0].ID)), After: encode([]byte(list[len(list)-1].ID))}
}
