package graphapi

import (
	"context"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// passMetadata is pass_thread_metadata: row 92, protocol 12.22.
func (s *Service) passMetadata(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodePassMetadata(c.params)
	if err != nil {
		return reply{}, err
	}
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_PassMetadata{PassMetadata: &commandv1.PassMetadata{Target: p.Target, Metadata: p.Metadata}}
	return s.decide(ctx, c, q)
}
