package graphapi

import (
	"context"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// decide puts a control call to the holder and answers {"success":true}.
func (s *Service) decide(ctx context.Context, c *call, q *commandv1.Request) (reply, error) {
	answer, err := s.ask(ctx, q, s.config.AnswerWithin)
	if err != nil {
		return reply{}, unanswered()
	}
	if answer.GetStatus() == commandv1.Status_STATUS_REPEAT && answer.GetEarlier().GetOtherCall() {
		return reply{}, Refusal(control.Refusal{Reason: control.ReasonKeyReused}, c.caller.Asset.Rules)
	}
	if err := s.verdict(c, answer); err != nil {
		return reply{}, err
	}
	return success(succeeded), nil
}
