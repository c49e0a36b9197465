package graphapi

import (
	"context"
	"errors"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
)

// sendUnthreaded forwards a send to a recipient who is not named by an id
// (user_ref, comment_id, post_id): there is no thread yet, so there is no owner
// to ask and no outcome to log. The page's rules count as for an idle thread,
// and the message keeps the app's own metadata.
func (s *Service) sendUnthreaded(ctx context.Context, c *call, m *graph.Message) (reply, error) {
	if err := refusedHere(c, m, control.State{}); err != nil {
		return reply{}, err
	}
	if fault := m.Check(); fault != nil {
		return reply{}, fault
	}
	message, upload, err := s.outgoing(c, m, "")
	if err != nil {
		return reply{}, err
	}
	defer upload.close()
	message.ConnectWithin = s.config.ForwardWithin
	f := &sending{service: s, call: c, message: m, started: time.Now()}
	answer, err := s.deps.Platform.SendMessage(context.WithoutCancel(ctx), message)
	if fault := upload.fault(); fault != nil {
		return reply{}, fault
	}
	var end ended
	switch {
	case err == nil:
		end = f.answered(answer)
	case errors.Is(err, platform.ErrNotSent):
		end = f.abandoned(err.Error())
	default:
		end = f.failed(err)
	}
	return end.reply, end.err
}
