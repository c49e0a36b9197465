package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
)

// Operate moves control by an operator's decision.
func (s *Service) Operate(ctx context.Context, req *connect.Request[adminv1.OperateRequest]) (*connect.Response[adminv1.OperateResponse], error) {
	operator, err := need(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	verb, target, err := s.operation(req.Msg)
	if err != nil {
		return nil, err
	}
	thread, refusal, err := s.command(ctx, req.Msg.GetPageId(), req.Msg.GetUserId(), &commandv1.Request{
		Verb: &commandv1.Request_Operate{Operate: &commandv1.Operate{
			Verb: uint32(verb), Operator: operator, Target: uint64(target), Metadata: req.Msg.GetMetadata(), DryRun: req.Msg.GetDryRun(),
		}},
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.OperateResponse{Thread: thread, Refusal: refusal}), nil
}

// operation reads verb and target.
func (s *Service) operation(r *adminv1.OperateRequest) (control.OperatorVerb, control.AppID, error) {
	if len([]rune(r.GetMetadata())) > control.MaxMetadata {
		return 0, 0, invalid("metadata is longer than %d characters", control.MaxMetadata)
	}
	verb, ok := map[string]control.OperatorVerb{
		"pass": control.OperatorPass, "take": control.OperatorTake, "release": control.OperatorRelease,
	}[r.GetVerb()]
	if !ok {
		return 0, 0, invalid("unknown verb %q, want pass, take or release", r.GetVerb())
	}
	if verb == control.OperatorRelease {
		return verb, 0, nil
	}
	target, ok := s.names().find(r.GetTarget())
	if !ok {
		return 0, 0, invalid("unknown app %q", r.GetTarget())
	}
	return verb, target, nil
}

// Inbox does what a human would do in the page's inbox.
func (s *Service) Inbox(ctx context.Context, req *connect.Request[adminv1.InboxRequest]) (*connect.Response[adminv1.InboxResponse], error) {
	operator, err := need(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	verb, ok := map[string]control.InboxVerb{
		"reply": control.InboxReply, "main": control.InboxMain, "done": control.InboxDoneVerb,
	}[req.Msg.GetVerb()]
	if !ok {
		return nil, invalid("unknown verb %q, want reply, main or done", req.Msg.GetVerb())
	}
	thread, refusal, err := s.command(ctx, req.Msg.GetPageId(), req.Msg.GetUserId(), &commandv1.Request{
		Verb: &commandv1.Request_Inbox{Inbox: &commandv1.InboxAction{Verb: uint32(verb), Operator: operator, DryRun: req.Msg.GetDryRun()}},
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.InboxResponse{Thread: thread, Refusal: refusal}), nil
}

// Waits of a command.
const (
	commandBudget = 10 * time.Second
	commandTry    = 500 * time.Millisecond
	commandPause  = 50 * time.Millisecond
)

// command asks the holder of a thread, with one id over all tries, and returns
// the thread as it is afterwards.
func (s *Service) command(ctx context.Context, page, user string, req *commandv1.Request) (*adminv1.Thread, *adminv1.Refusal, error) {
	key, err := threadKey(page, user)
	if err != nil {
		return nil, nil, err
	}
	snap := s.deps.Rosters.Current()
	if snap.Page(key.Asset) == nil {
		return nil, nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown page %s", page))
	}
	req.Id = make([]byte, 16)
	_, _ = rand.Read(req.GetId()) // never fails
	req.Asset, req.Person, req.RosterVersion, req.BudgetMs = key.Asset, key.Person, snap.Version(), commandBudget.Milliseconds()
	resp, err := s.ask(ctx, partition.Of(key, s.deps.Node.Partitions), req)
	if err != nil {
		return nil, nil, err
	}
	var refusal *adminv1.Refusal
	switch resp.GetStatus() {
	case commandv1.Status_STATUS_OK, commandv1.Status_STATUS_REPEAT:
	case commandv1.Status_STATUS_REFUSED:
		refusal = s.names().refusal(control.Refusal{
			Reason: control.Reason(resp.GetRefusal().GetReason()), Owner: control.AppID(resp.GetRefusal().GetOwner()),
			Since: control.Millis(resp.GetRefusal().GetSinceMs()), Until: control.Millis(resp.GetRefusal().GetUntilMs()),
			Next: control.Next(resp.GetRefusal().GetNext()),
		})
	case commandv1.Status_STATUS_INTERNAL:
		return nil, nil, connect.NewError(connect.CodeInternal, fmt.Errorf("the holder of the thread's partition: %s", resp.GetDetail()))
	default:
		return nil, nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("the holder of the thread's partition: %s %s", resp.GetStatus(), resp.GetDetail()))
	}
	return s.thread(key, viewed(resp.GetThread())), refusal, nil
}

// unknownEpoch is that of no tenure: whoever is asked for it names its own.
const unknownEpoch = ^uint64(0)

// ask repeats a request until it is answered or its budget is used up. The
// tenure that is to decide it is in the request, so that no late copy is decided
// by another.
func (s *Service) ask(ctx context.Context, p int, req *commandv1.Request) (*commandv1.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, commandBudget)
	defer cancel()
	deadline := time.Now().Add(commandBudget)
	req.Epoch = unknownEpoch
	for {
		resp, err := s.deps.Bus.Ask(ctx, p, req, commandTry)
		moved := err == nil && resp.GetStatus() == commandv1.Status_STATUS_UNAVAILABLE && resp.GetEpoch() != req.GetEpoch()
		if err == nil && (!moved || ctx.Err() != nil) {
			return resp, nil
		}
		req = proto.CloneOf(req) // a holder may still read the one before
		req.Attempt++
		if moved { // to the tenure that answered
			req.Epoch, req.DeadlineMs = resp.GetEpoch(), resp.GetNowMs()+time.Until(deadline).Milliseconds()
			continue
		}
		if !errors.Is(err, bus.ErrNoHolder) && !errors.Is(err, bus.ErrNoAnswer) && !errors.Is(err, context.DeadlineExceeded) {
			return nil, connect.NewError(connect.CodeUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("partition %d does not answer", p))
		case <-time.After(commandPause):
		}
	}
}

// viewed is the part of a state that an answer carries.
func viewed(t *commandv1.Thread) control.State {
	st := control.State{
		Owner: control.AppID(t.GetOwner()), ExpiresAt: control.Millis(t.GetExpiresAtMs()), Since: control.Millis(t.GetSinceMs()),
		LastUserAt: control.Millis(t.GetLastUserAtMs()), Revision: t.GetRevision(), Done: t.GetDone(),
	}
	if len(t.GetRequests()) > 0 || t.GetHeldSurveys() > 0 || t.GetOpenEffects() > 0 {
		st.Rare = &control.Rare{Held: make([]control.Survey, t.GetHeldSurveys()), Effects: make([]control.Effect, t.GetOpenEffects())}
		for _, q := range t.GetRequests() {
			st.Rare.Requests = append(st.Rare.Requests, control.Request{
				App: control.AppID(q.GetApp()), Since: control.Millis(q.GetSinceMs()), Metadata: q.GetMetadata(),
			})
		}
	}
	return st
}
