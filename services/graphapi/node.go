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
	fields := pieces(c.params.Text("fields"))
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
