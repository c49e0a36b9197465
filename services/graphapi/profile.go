package graphapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// setProfile is POST messenger_profile: row 89. The platform first, then the
// roster, which remembers who made what a person may tap.
func (s *Service) setProfile(ctx context.Context, c *call) (reply, error) {
	params, err := platformParam(c)
	if err != nil {
		return reply{}, err
	}
	set, err := graph.DecodeProfile(c.params)
	if err != nil {
		return reply{}, err
	}
	for _, p := range set {
		params[p.Name] = p.Value
	}
	return s.changeProfile(ctx, c, params, func(d roster.Document) (roster.Document, error) {
		var err error
		for _, p := range set {
			if d, err = d.SetProfile(c.assetID(), c.caller.App.ID, p.Name, p.Value); err != nil {
				return d, err
			}
		}
		return d, nil
	})
}

// clearProfile is DELETE messenger_profile, by the rules of setting (12.21).
func (s *Service) clearProfile(ctx context.Context, c *call) (reply, error) {
	params, err := platformParam(c)
	if err != nil {
		return reply{}, err
	}
	fields, err := graph.DecodeProfileFields(c.params)
	if err != nil {
		return reply{}, err
	}
	params["fields"], _ = json.Marshal(fields) // strings: cannot fail
	return s.changeProfile(ctx, c, params, func(d roster.Document) (roster.Document, error) {
		var err error
		for _, name := range fields {
			if d, err = d.ClearProfile(c.assetID(), name); err != nil {
				return d, err
			}
		}
		return d, nil
	})
}

// changeProfile makes the change on the platform and then in the roster, one
// call for a page at a time, so that both have the same last writer.
func (s *Service) changeProfile(
	ctx context.Context, c *call, params map[string]json.RawMessage, edit func(roster.Document) (roster.Document, error),
) (reply, error) {
	leave, err := s.turn(ctx, c, lane{thread: control.ThreadKey{Asset: c.caller.Asset.ID}})
	if err != nil {
		return reply{}, err
	}
	defer leave()
	rules := c.caller.Asset.Rules
	if refusal := control.MaySetPageMenu(rules, c.caller.App.Number); refusal.Refused() {
		return reply{}, Refusal(refusal, rules)
	}
	answer, done, err := s.write(ctx, c, c.method, params)
	if err != nil || !done {
		return answer, err
	}
	return answer, s.change(ctx, c, edit)
}

// readProfile is GET messenger_profile: the platform's answer.
func (s *Service) readProfile(ctx context.Context, c *call) (reply, error) {
	params, err := platformParam(c)
	if err != nil {
		return reply{}, err
	}
	fields := c.params.List("fields")
	if len(fields) == 0 {
		return reply{}, graph.MissingParameter("fields")
	}
	query := url.Values{"fields": {strings.Join(fields, ",")}}
	if _, ok := params["platform"]; ok {
		query.Set("platform", "instagram")
	}
	return s.relay(ctx, c, platform.Request{Method: http.MethodGet, Path: c.relayPath(), Query: query})
}

// platformParam checks the parameter platform against the token's asset, and is
// the parameter as it is forwarded: Instagram's profile is called through the
// Page. Source: protocol 2.3, 12.20.
func platformParam(c *call) (map[string]json.RawMessage, error) {
	name := strings.ToLower(c.params.Text("platform"))
	if c.caller.Asset.Object == control.ObjectInstagram {
		if name != "" && name != "instagram" {
			return nil, graph.NotOneOf("platform", name, []string{"instagram"})
		}
		return map[string]json.RawMessage{"platform": json.RawMessage(`"instagram"`)}, nil
	}
	switch name {
	case "", "messenger":
		return map[string]json.RawMessage{}, nil
	case "instagram":
		return nil, graph.NotLinked().With(graph.Detail{
			Reason: "WRONG_TOKEN", Explain: "this token is the Page's; call with the app's token for the Instagram account",
		})
	}
	return nil, graph.NotOneOf("platform", name, []string{"messenger", "instagram"})
}
