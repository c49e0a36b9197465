package graphapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// passable reports whether a call that Baton does not interpret may go to the
// platform: its edge is on the app's list, and it cannot do what an edge of
// Baton's own decides about. own says that the node is the token's asset.
// Source: protocol 12.36.
func (s *Service) passable(c *call, own bool) bool {
	edge := c.path.Edge
	if !c.caller.App.PassThroughEdges[edge] || !own && !foreign(c) {
		return false
	}
	if _, ours := s.unbound[edge]; ours {
		return false
	}
	if _, ours := s.routes[edge]; ours {
		return !own && c.method == http.MethodGet && (edge == "" || edge == "messages") // of a person, of a conversation
	}
	return c.method == http.MethodGet || c.method == http.MethodPost || c.method == http.MethodDelete
}

// foreign reports whether the node may be something of the page's that Baton
// does not know, a person, a conversation, a message: it is written like one,
// and it is no page, account or app that the roster knows.
func foreign(c *call) bool {
	id, digits := c.path.NodeID()
	if !digits {
		return opaque(c.path.Node)
	}
	snapshot := c.snapshot
	if _, app := snapshot.App(control.AppID(id)); app || control.AppID(id) == snapshot.BatonApp() {
		return false
	}
	for _, asset := range snapshot.Assets() {
		if a, _ := snapshot.Asset(asset); a.Named(id) {
			return false
		}
	}
	return true
}

// opaque reports whether a node is an opaque id of the platform's. Words, which
// may be root edges or names of pages, are none.
func opaque(node string) bool {
	for _, r := range node {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("_-=:.", r) {
			return false
		}
	}
	named := strings.HasPrefix(node, "t_") || strings.HasPrefix(node, "m_") || strings.HasPrefix(node, "mid.")
	return len(node) <= 500 && (len(node) >= 20 || named) && strings.Trim(node, ".") != ""
}

// passThrough hands the call to the platform with the page's own token, and its
// answer back.
func (s *Service) passThrough(ctx context.Context, c *call) (reply, error) {
	if err := authorise(c, route{task: roster.TaskMessaging}); err != nil {
		return reply{}, err
	}
	if c.method == http.MethodGet && c.path.Edge == "" {
		return s.conversation(ctx, c)
	}
	return s.passForm(ctx, c, c.params.Form())
}

// passForm passes the call on with these parameters.
func (s *Service) passForm(ctx context.Context, c *call, form url.Values) (reply, error) {
	own := named(c, c.caller)
	if err := s.checkFields(c, own, form.Get("fields")); err != nil {
		return reply{}, err
	}
	node := c.path.Node
	if own {
		node = strconv.FormatUint(c.caller.Asset.Node(), 10)
	}
	r := platform.Request{Method: c.method, Path: node}
	if c.path.Edge != "" {
		r.Path += "/" + c.path.Edge
	}
	switch {
	case c.method != http.MethodPost:
		r.Query = form
	case c.upload != nil:
		return s.passUpload(ctx, c, r, form)
	default:
		body := form.Encode()
		r.Body, r.Length, r.ContentType = strings.NewReader(body), int64(len(body)), "application/x-www-form-urlencoded"
	}
	return s.relay(ctx, c, r)
}

// passUpload streams a file to the platform behind the call's other fields.
func (s *Service) passUpload(ctx context.Context, c *call, r platform.Request, form url.Values) (reply, error) {
	fields := make(map[string]json.RawMessage, len(form))
	for name := range form {
		text, err := json.Marshal(form.Get(name))
		if err != nil {
			return reply{}, err
		}
		fields[name] = text
	}
	u := newUpload(c, fields)
	defer u.close()
	r.Body, r.ContentType = u.reader, u.contentType
	answer, err := s.relay(ctx, c, r)
	if fault := u.fault(); fault != nil {
		if answer.stream != nil {
			_ = answer.stream.Close()
		}
		return reply{}, fault
	}
	return answer, err
}
