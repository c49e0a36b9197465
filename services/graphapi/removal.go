package graphapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// removals are the edges whose entries an app may remove by their own id, as
// published clients do with personas and labels. Source: protocol 12.36.
//
//nolint:gochecknoglobals // a constant table
var removals = []string{"personas", "custom_labels"}

// maxRemovalPages bounds how much of a list is read to find an entry.
const maxRemovalPages = 50

// removable reports whether the call may be the removal of such an entry.
func removable(c *call, own bool) bool {
	if c.method != http.MethodDelete || c.path.Edge != "" || own {
		return false
	}
	_, digits := c.path.NodeID()
	return digits && foreign(c) && slices.ContainsFunc(removals, func(edge string) bool { return c.caller.App.PassThroughEdges[edge] })
}

// remove passes the removal on once the platform has shown that the node is an
// entry of one of the page's lists: the page's token could remove much else.
func (s *Service) remove(ctx context.Context, c *call) (reply, error) {
	if err := authorise(c, route{task: roster.TaskMessaging}); err != nil {
		return reply{}, err
	}
	for _, edge := range removals {
		if !c.caller.App.PassThroughEdges[edge] {
			continue
		}
		found, refusal, err := s.lists(ctx, c, edge)
		switch {
		case err != nil || refusal.status != 0:
			return refusal, err
		case found:
			return s.passForm(ctx, c, c.params.Form())
		}
	}
	return reply{}, graph.UnknownNode(c.method, c.path.Node)
}

// lists reports whether the page's list of an edge has the call's node. refusal
// is the platform's, when it does not show the list.
func (s *Service) lists(ctx context.Context, c *call, edge string) (found bool, refusal reply, err error) {
	list := *c
	list.path.Edge = edge
	query := url.Values{"fields": {"id"}, "limit": {"100"}}
	for range maxRemovalPages {
		answer, err := s.relay(ctx, c, platform.Request{Method: http.MethodGet, Path: list.relayPath(), Query: query})
		if err != nil {
			return false, reply{}, err
		}
		if answer = s.whole(c, answer); answer.status != http.StatusOK {
			return false, answer, nil
		}
		var page struct {
			Data   []struct{ ID string }
			Paging struct {
				Cursors struct{ After string }
				Next    string
			}
		}
		if json.Unmarshal(answer.body, &page) != nil {
			return false, reply{}, s.notRelayed(c, http.MethodGet, errAnswer)
		}
		if slices.ContainsFunc(page.Data, func(e struct{ ID string }) bool { return e.ID == c.path.Node }) {
			return true, reply{}, nil
		}
		if page.Paging.Next == "" || page.Paging.Cursors.After == "" {
			return false, reply{}, nil
		}
		query.Set("after", page.Paging.Cursors.After)
	}
	return false, reply{}, nil
}
