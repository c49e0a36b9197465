package graphapi

import (
	"context"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// pass is pass_thread_control: rows 36 to 44.
func (s *Service) pass(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodePass(c.params)
	if err != nil {
		return reply{}, err
	}
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_Pass{Pass: &commandv1.Pass{Target: p.Target, Metadata: p.Metadata}}
	return s.decide(ctx, c, q)
}
