package graphapi

import (
	"context"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// take is take_thread_control: rows 45 to 53.
func (s *Service) take(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodeTake(c.params)
	if err != nil {
		return reply{}, err
	}
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_Take{Take: &commandv1.Take{Metadata: p.Metadata}}
	return s.decide(ctx, c, q)
}
