package graphapi

import (
	"context"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
)

// threadOwner is thread_owner: row 99, protocol 12.22.
func (s *Service) threadOwner(ctx context.Context, c *call) (reply, error) {
	p, err := graph.DecodeOwnerQuery(c.params)
	if err != nil {
		return reply{}, err
	}
	thread, err := s.readOwner(ctx, c, p.Recipient)
	if err != nil {
		return reply{}, err
	}
	view := viewOf(thread)
	shown := view.For(c.caller.Asset.Rules, c.caller.App.Number)
	answer := graph.ThreadOwner{Owned: view.Owner != 0, AppID: shown.Owner.String(), Expiration: view.Until.Seconds()}
	for _, r := range shown.Requests {
		answer.Pending = append(answer.Pending, graph.PendingRequest{
			AppID: r.App.String(), Since: int64(r.Since / control.Second), Metadata: r.Metadata,
		})
	}
	return success(answer.Body()), nil
}

// readOwner asks the holder for the thread as it stands.
func (s *Service) readOwner(ctx context.Context, c *call, person uint64) (*commandv1.Thread, error) {
	q := c.question(person)
	q.IdempotencyKey = nil // a read is not remembered
	q.Verb = &commandv1.Request_ReadOwner{ReadOwner: &commandv1.ReadOwner{}}
	answer, err := s.ask(ctx, q, s.config.AnswerWithin)
	if err != nil {
		return nil, unanswered()
	}
	if err := s.verdict(c, answer); err != nil {
		return nil, err
	}
	return answer.GetThread(), nil
}

// viewOf is a thread as the rules see it.
func viewOf(t *commandv1.Thread) control.View {
	v := control.View{Owner: control.AppID(t.GetOwner()), Since: control.Millis(t.GetSinceMs()), Until: control.Millis(t.GetExpiresAtMs())}
	for _, r := range t.GetRequests() {
		v.Requests = append(v.Requests, control.Request{
			App: control.AppID(r.GetApp()), Since: control.Millis(r.GetSinceMs()), Metadata: r.GetMetadata(),
		})
	}
	if v.Owner == 0 {
		return control.View{}
	}
	return v
}
