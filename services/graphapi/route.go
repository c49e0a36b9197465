package graphapi

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// handler answers a call whose caller may make it.
type handler func(*Service, context.Context, *call) (reply, error)

// route says how a method of an edge is called.
type route struct {
	// task is what the person behind the token must be allowed, permission what
	// the token must carry; "" is the one that messaging needs on the asset.
	task, permission string
	// away lets an app call that has left the page.
	away    bool
	handler handler
}

// routes is what a page's edges are, by edge and method. What is not here may be
// passed through, or is refused by name.
func routes() map[string]map[string]route {
	post := func(task string, h handler) map[string]route {
		return map[string]route{http.MethodPost: {task: task, handler: h}}
	}
	get := func(task string, h handler) map[string]route {
		return map[string]route{http.MethodGet: {task: task, handler: h}}
	}
	connecting := func(h handler) route {
		return route{task: roster.TaskModerate, permission: roster.PermissionPagesMetadata, away: true, handler: h}
	}
	return map[string]map[string]route{
		"pass_thread_control":    post(roster.TaskModerate, (*Service).pass),
		"take_thread_control":    post(roster.TaskModerate, (*Service).take),
		"request_thread_control": post(roster.TaskModerate, (*Service).request),
		"release_thread_control": post(roster.TaskModerate, (*Service).release),
		"extend_thread_control":  post(roster.TaskModerate, (*Service).extend),
		"pass_thread_metadata":   post(roster.TaskModerate, (*Service).passMetadata),
		"thread_owner":           get(roster.TaskModerate, (*Service).threadOwner),
		"secondary_receivers":    get(roster.TaskModerate, (*Service).secondaryReceivers),
		"messages":               post(roster.TaskMessaging, (*Service).messages),
		"":                       get(roster.TaskMessaging, (*Service).readNode),
		"conversations":          get(roster.TaskMessaging, (*Service).conversations),
		"messenger_profile": {
			http.MethodPost:   {task: roster.TaskMessaging, handler: (*Service).setProfile},
			http.MethodGet:    {task: roster.TaskMessaging, handler: (*Service).readProfile},
			http.MethodDelete: {task: roster.TaskMessaging, handler: (*Service).clearProfile},
		},
		"custom_user_settings": {
			http.MethodPost:   {task: roster.TaskMessaging, handler: (*Service).setUserMenu},
			http.MethodGet:    {task: roster.TaskMessaging, handler: (*Service).readUserMenu},
			http.MethodDelete: {task: roster.TaskMessaging, handler: (*Service).clearUserMenu},
		},
		"subscribed_apps": {
			http.MethodPost:   connecting((*Service).connect),
			http.MethodGet:    connecting((*Service).connection),
			http.MethodDelete: connecting((*Service).disconnect),
		},
	}
}

// rootEdge stands in the path where others have their node.
const rootEdge = "debug_token"

// unbound are the edges whose caller is an app, not an app on a page.
func unbound() map[string]handler {
	return map[string]handler{"subscriptions": (*Service).subscriptions, rootEdge: (*Service).debugToken}
}

func (s *Service) unboundEdge(c *call) (handler, bool) {
	h, ok := s.unbound[c.name()]
	return h, ok && (c.path.Edge == "") == (c.name() == rootEdge)
}

// route finds the edge's handler and calls it for an authenticated caller.
func (s *Service) route(ctx context.Context, c *call) (reply, error) {
	if h, ok := s.unboundEdge(c); ok {
		return h(s, ctx, c)
	}
	if err := s.authenticate(c); err != nil {
		return reply{}, err
	}
	own := named(c, c.caller)
	switch {
	case s.passable(c, own):
		return s.passThrough(ctx, c)
	case removable(c, own):
		return s.remove(ctx, c)
	}
	if !own {
		return reply{}, graph.UnknownNode(c.method, c.path.Node)
	}
	methods, ok := s.routes[c.path.Edge]
	if !ok {
		return reply{}, unsupported(c, "Baton does not offer "+what(c))
	}
	r, ok := methods[c.method]
	if !ok {
		return reply{}, wrongMethod(c, methods)
	}
	if err := authorise(c, r); err != nil {
		return reply{}, err
	}
	return r.handler(s, ctx, c)
}

// name is the edge, or the root edge that stands in the node's place.
func (c *call) name() string {
	if c.path.Edge == "" {
		return c.path.Node
	}
	return c.path.Edge
}

// unsupported is the platform's answer to an edge or method that does not
// exist, with the reason in error_data.
func unsupported(c *call, explain string) error {
	node := c.path.Node
	return graph.UnknownNode(c.method, node).With(graph.Detail{Reason: "UNSUPPORTED", Explain: explain})
}

func wrongMethod(c *call, methods map[string]route) error {
	names := slices.Sorted(maps.Keys(methods))
	return unsupported(c, strings.TrimPrefix(what(c), "the edge ")+" is called with "+strings.Join(names, ", "))
}

func what(c *call) string {
	if c.path.Edge == "" {
		return "the node itself"
	}
	return "the edge " + c.path.Edge
}

// edgeName is the edge for metrics, whose labels must be few.
func (s *Service) edgeName(c *call) string {
	if _, ok := s.unboundEdge(c); ok {
		return c.name()
	}
	if _, ok := s.routes[c.path.Edge]; !ok {
		return "other"
	}
	return cmp.Or(c.path.Edge, "node")
}
