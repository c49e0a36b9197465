package graphapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
)

// isOwner is the field of a conversation that Baton answers itself: the
// platform knows Baton's app alone. Source: protocol 2.4.
const isOwner = "is_owner"

// conversations lists a page's conversations: is_owner is the holder's to
// answer, all else the platform's.
func (s *Service) conversations(ctx context.Context, c *call) (reply, error) {
	if !c.caller.App.PassThroughEdges[c.path.Edge] {
		return reply{}, unsupported(c, "Baton does not offer "+what(c))
	}
	params, err := platformParam(c)
	if err != nil {
		return reply{}, err
	}
	form := c.params.Form()
	if _, ok := params["platform"]; ok {
		form.Set("platform", "instagram")
	}
	return s.withOwner(ctx, c, form, func(body []byte, added bool) ([]byte, error) {
		var list map[string]json.RawMessage
		var threads []map[string]json.RawMessage
		if !object(body, &list) || json.Unmarshal(list["data"], &threads) != nil {
			return nil, graph.Unavailable(1).With(graph.Detail{Reason: "PLATFORM", Explain: "the platform's answer is no list"})
		}
		for _, thread := range threads {
			if err := s.markOwner(ctx, c, thread, added); err != nil {
				return nil, err
			}
		}
		var err error
		if list["data"], err = json.Marshal(threads); err != nil {
			return nil, fmt.Errorf("encode the conversations: %w", err)
		}
		return json.Marshal(list)
	})
}

// conversation is a read of one conversation by its own id.
func (s *Service) conversation(ctx context.Context, c *call) (reply, error) {
	return s.withOwner(ctx, c, c.params.Form(), func(body []byte, added bool) ([]byte, error) {
		var thread map[string]json.RawMessage
		if !object(body, &thread) {
			return nil, graph.Unavailable(1).With(graph.Detail{Reason: "PLATFORM", Explain: "the platform's answer is no object"})
		}
		if err := s.markOwner(ctx, c, thread, added); err != nil {
			return nil, err
		}
		return json.Marshal(thread)
	})
}

// withOwner passes the call on without is_owner, which mark then adds to the
// answer; added says that the participants are there only for its sake.
func (s *Service) withOwner(ctx context.Context, c *call, form url.Values, mark func(body []byte, added bool) ([]byte, error)) (reply, error) {
	fields := pieces(form.Get("fields"))
	if !slices.Contains(fields, isOwner) {
		return s.passForm(ctx, c, form)
	}
	fields = slices.DeleteFunc(fields, func(piece string) bool { return piece == isOwner })
	added := !slices.ContainsFunc(fields, func(piece string) bool { return fieldName(piece) == "participants" })
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
	answer.body, err = mark(answer.body, added)
	return answer, err
}

// markOwner adds is_owner to a conversation of the platform's, and takes off
// the participants that only Baton had asked for.
func (s *Service) markOwner(ctx context.Context, c *call, thread map[string]json.RawMessage, added bool) error {
	if thread == nil {
		return nil // null
	}
	person, _ := control.ParseID(c.params.Text("user_id"))
	if person == 0 {
		person = personOf(c, thread["participants"])
	}
	mine := false
	if person != 0 {
		state, err := s.readOwner(ctx, c, person)
		if err != nil {
			return err
		}
		mine = control.AppID(state.GetOwner()) == c.caller.App.Number
	}
	thread[isOwner] = strconv.AppendBool(nil, mine)
	if added {
		delete(thread, "participants")
	}
	return nil
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
