package graphapi

import (
	"context"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// release is release_thread_control: rows 61 to 63.
func (s *Service) release(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodeRelease(c.params)
	if err != nil {
		return reply{}, err
	}
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_Release{Release: &commandv1.Release{Metadata: p.Metadata}}
	return s.decide(ctx, c, q)
}
