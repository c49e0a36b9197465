package graphapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
)

const featureStatus = "messaging_feature_status"

// features is messaging_feature_status. Source: protocol 2.4.
type features struct {
	Handover  bool `json:"hop_v2"`
	Messenger bool `json:"msgr_multi_app"`
	Instagram bool `json:"ig_multi_app"`
}

// readNode is a read of the page itself: messaging_feature_status is Baton's to
// answer, all else the platform's.
func (s *Service) readNode(ctx context.Context, c *call) (reply, error) {
	fields := c.params.List("fields")
	asked := slices.Contains(fields, featureStatus)
	fields = slices.DeleteFunc(fields, func(name string) bool { return name == featureStatus || asked && name == "id" })
	page := map[string]json.RawMessage{}
	if !asked || len(fields) > 0 {
		if !c.caller.App.PassThroughEdges[""] {
			return reply{}, unsupported(c, "Baton does not offer "+what(c))
		}
		form := c.params.Form()
		if asked {
			form.Set("fields", strings.Join(fields, ","))
		}
		answer, err := s.passForm(ctx, c, form)
		if err != nil || !asked || answer.status != http.StatusOK {
			return answer, err
		}
		if answer = s.whole(c, answer); answer.status != http.StatusOK || !object(answer.body, &page) {
			return answer, nil
		}
	}
	page[featureStatus], _ = json.Marshal(featuresOf(c)) // booleans: cannot fail
	if _, ok := page["id"]; !ok {
		page["id"], _ = json.Marshal(nodeID(c)) // a string: cannot fail
	}
	body, err := json.Marshal(page)
	if err != nil {
		return reply{}, fmt.Errorf("encode the page: %w", err)
	}
	return success(body), nil
}

// object reads a JSON object; false when it is none.
func object(raw []byte, out *map[string]json.RawMessage) bool {
	return json.Unmarshal(raw, out) == nil && *out != nil
}

// nodeID is the page as the caller named it.
func nodeID(c *call) string {
	if c.path.IsMe() {
		return strconv.FormatUint(c.caller.Asset.Node(), 10)
	}
	return c.path.Node
}

// featuresOf is the routing of the page and of the account linked to it.
func featuresOf(c *call) features {
	f := features{Handover: c.caller.Asset.Rules.Mode == control.ModeHandover}
	for _, id := range c.snapshot.Assets() {
		asset, _ := c.snapshot.Asset(id)
		if asset.Node() != c.caller.Asset.Node() || asset.Rules.Mode != control.ModeDefaultApp {
			continue
		}
		if asset.Object == control.ObjectInstagram {
			f.Instagram = true
		} else {
			f.Messenger = true
		}
	}
	return f
}

// isField reports whether a piece of the parameter fields asks for the name,
// with or without an expansion.
func isField(piece, name string) bool {
	rest, ok := strings.CutPrefix(piece, name)
	return ok && (rest == "" || rest[0] == '{' || rest[0] == '.')
}

// conversations lists a page's conversations: is_owner is the holder's to
// answer, all else the platform's. Source: protocol 2.4.
func (s *Service) conversations(ctx context.Context, c *call) (reply, error) {
	if !c.caller.App.PassThroughEdges[c.path.Edge] {
		return reply{}, unsupported(c, "Baton does not offer "+what(c))
	}
	params, err := platformParam(c)
	if err != nil {
		return reply{}, err
	}
	form, fields := c.params.Form(), c.params.List("fields")
	if _, ok := params["platform"]; ok {
		form.Set("platform", "instagram")
	}
	if !slices.Contains(fields, "is_owner") {
		return s.passForm(ctx, c, form)
	}
	fields = slices.DeleteFunc(fields, func(name string) bool { return name == "is_owner" })
	added := !slices.ContainsFunc(fields, func(piece string) bool { return isField(piece, "participants") })
	if added {
		fields = append(fields, "participants")
	}
	form.Set("fields", strings.Join(fields, ","))
	answer, err := s.passForm(ctx, c, form)
	if err != nil || answer.status != http.StatusOK {
		return answer, err
	}
	if answer = s.whole(c, answer); answer.status != http.StatusOK {
		return answer, nil
	}
	list, err := s.owned(ctx, c, answer.body, added)
	if err != nil {
		return reply{}, err
	}
	answer.body = list
	return answer, nil
}

// owned adds is_owner to the conversations in a list of the platform's, and
// takes off the participants that only Baton had asked for.
func (s *Service) owned(ctx context.Context, c *call, body []byte, added bool) ([]byte, error) {
	var list map[string]json.RawMessage
	var threads []map[string]json.RawMessage
	if !object(body, &list) || json.Unmarshal(list["data"], &threads) != nil {
		return nil, graph.Unavailable(1).With(graph.Detail{Reason: "PLATFORM", Explain: "the platform's answer is no list"})
	}
	asked, _ := control.ParseID(c.params.Text("user_id"))
	for _, thread := range threads {
		if thread == nil {
			continue // null
		}
		person := asked
		if person == 0 {
			person = personOf(c, thread["participants"])
		}
		mine := false
		if person != 0 {
			state, err := s.readOwner(ctx, c, person)
			if err != nil {
				return nil, err
			}
			mine = control.AppID(state.GetOwner()) == c.caller.App.Number
		}
		thread["is_owner"] = strconv.AppendBool(nil, mine)
		if added {
			delete(thread, "participants")
		}
	}
	var err error
	if list["data"], err = json.Marshal(threads); err != nil {
		return nil, fmt.Errorf("encode the conversations: %w", err)
	}
	return json.Marshal(list)
}

// personOf is the participant who is not the page; zero when none can be told.
func personOf(c *call, raw json.RawMessage) uint64 {
	var participants struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if json.Unmarshal(raw, &participants) != nil {
		return 0
	}
	for _, p := range participants.Data {
		if id, ok := control.ParseID(p.ID); ok && !c.caller.Asset.Named(id) {
			return id
		}
	}
	return 0
}
