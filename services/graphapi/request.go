package graphapi

import (
	"context"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// request is request_thread_control: rows 54 to 60.
func (s *Service) request(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodeRequest(c.params)
	if err != nil {
		return reply{}, err
	}
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_RequestControl{RequestControl: &commandv1.RequestControl{Metadata: p.Metadata}}
	return s.decide(ctx, c, q)
}
