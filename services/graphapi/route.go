package graphapi

import (
	"context"
	"net/http"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/roster"
)

// route says how an edge is called.
type route struct {
	method string
	// task is what the person behind the token must be allowed.
	task    string
	handler func(*Service, context.Context, *call) (reply, error)
}

// routes is the whole of the API. What is not here is refused by name.
func routes() map[string]route {
	return map[string]route{
		"pass_thread_control":    {http.MethodPost, roster.TaskModerate, (*Service).pass},
		"take_thread_control":    {http.MethodPost, roster.TaskModerate, (*Service).take},
		"request_thread_control": {http.MethodPost, roster.TaskModerate, (*Service).request},
		"release_thread_control": {http.MethodPost, roster.TaskModerate, (*Service).release},
		"extend_thread_control":  {http.MethodPost, roster.TaskModerate, (*Service).extend},
		"pass_thread_metadata":   {http.MethodPost, roster.TaskModerate, (*Service).passMetadata},
		"thread_owner":           {http.MethodGet, roster.TaskModerate, (*Service).threadOwner},
		"secondary_receivers":    {http.MethodGet, roster.TaskModerate, (*Service).secondaryReceivers},
		"messages":               {http.MethodPost, roster.TaskMessaging, (*Service).messages},
	}
}

// route finds the edge's handler and calls it for an authenticated caller.
func (s *Service) route(ctx context.Context, c *call) (reply, error) {
	if err := s.authenticate(c); err != nil {
		return reply{}, err
	}
	r, ok := s.routes[c.path.Edge]
	if !ok {
		return reply{}, unsupported(c, "Baton does not offer "+what(c))
	}
	if r.method != c.method {
		return reply{}, unsupported(c, c.path.Edge+" is called with "+r.method)
	}
	if err := authorise(c, r.task); err != nil {
		return reply{}, err
	}
	return r.handler(s, ctx, c)
}

// unsupported is the platform's answer to an edge or method that does not
// exist, with the reason in error_data.
func unsupported(c *call, explain string) error {
	node := c.path.Node
	return graph.UnknownNode(c.method, node).With(graph.Detail{Reason: "UNSUPPORTED", Explain: explain})
}

func what(c *call) string {
	if c.path.Edge == "" {
		return "reads of the node itself"
	}
	return "the edge " + c.path.Edge
}

// edgeName is the edge for metrics, whose labels must be few.
func (s *Service) edgeName(c *call) string {
	if _, ok := s.routes[c.path.Edge]; ok {
		return c.path.Edge
	}
	return "other"
}
