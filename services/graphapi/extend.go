package graphapi

import (
	"context"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// extend is extend_thread_control: rows 63 to 66. What lies far outside the
// range is cut to just outside it, so that no number overflows.
func (s *Service) extend(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodeExtend(c.params)
	if err != nil {
		return reply{}, err
	}
	most := int64(control.MaxExtension/control.Second) + 1
	duration := min(max(p.Seconds, 0), most) * int64(control.Second)
	q := c.question(p.Recipient)
	q.Verb = &commandv1.Request_Extend{Extend: &commandv1.Extend{DurationMs: duration}}
	return s.decide(ctx, c, q)
}
