package simulator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
	"github.com/baton-router/baton/pkg/gen/baton/sim/v1/simv1connect"
)

// NewHandler returns the RPC face of the simulator and the path to mount it at.
// It checks no caller: the listener it is mounted on does.
func (s *Service) NewHandler(options ...connect.HandlerOption) (string, http.Handler) {
	return simv1connect.NewSimServiceHandler(&rpc{s}, options...)
}

// rpc maps SimService to the methods of Service: decode, call, encode.
type rpc struct{ s *Service }

// code maps the simulator's errors to those of RPC.
func code(err error) error {
	switch {
	case errors.Is(err, ErrInvalid):
		return connect.NewError(connect.CodeInvalidArgument, err)
	case errors.Is(err, ErrNotFound):
		return connect.NewError(connect.CodeNotFound, err)
	case errors.Is(err, ErrBusy):
		return connect.NewError(connect.CodeResourceExhausted, err)
	}
	return connect.NewError(connect.CodeInternal, err)
}

func answerRPC[T any](body *T, err error) (*connect.Response[T], error) {
	if err != nil {
		return nil, code(err)
	}
	return connect.NewResponse(body), nil
}

// threadRequest is what nearly every request names.
type threadRequest interface {
	GetPageId() string
	GetUserId() string
}

// thread reads the page and the person of a request; empty means the default.
func threadOf(m threadRequest) (control.ThreadKey, error) {
	page, err := optionalID("page_id", m.GetPageId())
	if err != nil {
		return control.ThreadKey{}, err
	}
	person, err := optionalID("user_id", m.GetUserId())
	return control.ThreadKey{Asset: page, Person: person}, err
}

func optionalID(name, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	id, isID := control.ParseID(text)
	if !isID {
		return 0, fmt.Errorf("%w: %s %q is not a decimal id", ErrInvalid, name, text)
	}
	return id, nil
}

func (r *rpc) Message(_ context.Context, q *connect.Request[simv1.MessageRequest]) (*connect.Response[simv1.MessageResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	o := MessageOptions{QuickReply: q.Msg.GetQuickReplyPayload(), ReplyTo: q.Msg.GetReplyTo()}
	for _, a := range q.Msg.GetAttachments() {
		o.Attachments = append(o.Attachments, Attachment{Type: a.GetType(), URL: a.GetUrl()})
	}
	mid, err := r.s.Message(key.Asset, key.Person, q.Msg.GetText(), o)
	return answerRPC(&simv1.MessageResponse{Mid: mid}, err)
}

func (r *rpc) Postback(_ context.Context, q *connect.Request[simv1.PostbackRequest]) (*connect.Response[simv1.PostbackResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	tap, err := r.s.Postback(key.Asset, key.Person, q.Msg.GetPayload(), q.Msg.GetTitle())
	return answerRPC(&simv1.PostbackResponse{Mid: tap.Mid, Payload: tap.Payload, Title: tap.Title}, err)
}

func (r *rpc) Ad(_ context.Context, q *connect.Request[simv1.AdRequest]) (*connect.Response[simv1.AdResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	ad, err := optionalID("ad_id", q.Msg.GetAdId())
	if err != nil {
		return nil, code(err)
	}
	app, err := optionalID("receiving_app_id", q.Msg.GetReceivingAppId())
	if err != nil {
		return nil, code(err)
	}
	o := AdOptions{Ref: q.Msg.GetRef(), ReceivingApp: app, ReceivingDays: int(q.Msg.GetReceivingDays())}
	mid, err := r.s.Ad(key.Asset, key.Person, ad, q.Msg.GetText(), o)
	return answerRPC(&simv1.AdResponse{Mid: mid}, err)
}

func (r *rpc) Referral(_ context.Context, q *connect.Request[simv1.ReferralRequest]) (*connect.Response[simv1.ReferralResponse], error) {
	key, err := threadOf(q.Msg)
	if err == nil {
		err = r.s.Referral(key.Asset, key.Person, q.Msg.GetRef())
	}
	return answerRPC(&simv1.ReferralResponse{}, err)
}

func (r *rpc) Optin(_ context.Context, q *connect.Request[simv1.OptinRequest]) (*connect.Response[simv1.OptinResponse], error) {
	key, err := threadOf(q.Msg)
	if err == nil {
		err = r.s.Optin(key.Asset, key.Person, q.Msg.GetPayload())
	}
	return answerRPC(&simv1.OptinResponse{}, err)
}

func (r *rpc) React(_ context.Context, q *connect.Request[simv1.ReactRequest]) (*connect.Response[simv1.ReactResponse], error) {
	key, err := threadOf(q.Msg)
	if err == nil {
		err = r.s.React(key.Asset, key.Person, q.Msg.GetMid(), q.Msg.GetReaction())
	}
	return answerRPC(&simv1.ReactResponse{}, err)
}

func (r *rpc) Edit(_ context.Context, q *connect.Request[simv1.EditRequest]) (*connect.Response[simv1.EditResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	mid, err := r.s.Edit(key.Asset, key.Person, q.Msg.GetText())
	return answerRPC(&simv1.EditResponse{Mid: mid}, err)
}

func (r *rpc) Unsend(_ context.Context, q *connect.Request[simv1.UnsendRequest]) (*connect.Response[simv1.UnsendResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	mid, err := r.s.Unsend(key.Asset, key.Person)
	return answerRPC(&simv1.UnsendResponse{Mid: mid}, err)
}

func (r *rpc) Read(_ context.Context, q *connect.Request[simv1.ReadRequest]) (*connect.Response[simv1.ReadResponse], error) {
	key, err := threadOf(q.Msg)
	if err == nil {
		err = r.s.Read(key.Asset, key.Person)
	}
	return answerRPC(&simv1.ReadResponse{}, err)
}

func (r *rpc) Feedback(_ context.Context, q *connect.Request[simv1.FeedbackRequest]) (*connect.Response[simv1.FeedbackResponse], error) {
	key, err := threadOf(q.Msg)
	if err == nil {
		err = r.s.Feedback(key.Asset, key.Person, q.Msg.GetAnswer(), q.Msg.GetFollowUp())
	}
	return answerRPC(&simv1.FeedbackResponse{}, err)
}

func (r *rpc) Inbox(_ context.Context, q *connect.Request[simv1.InboxRequest]) (*connect.Response[simv1.InboxResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	var result InboxResult
	switch q.Msg.GetAction() {
	case simv1.InboxAction_INBOX_ACTION_REPLY:
		result, err = r.s.Reply(key.Asset, key.Person, q.Msg.GetText())
	case simv1.InboxAction_INBOX_ACTION_MAIN:
		result, err = r.s.Main(key.Asset, key.Person)
	case simv1.InboxAction_INBOX_ACTION_DONE:
		result, err = r.s.Done(key.Asset, key.Person)
	case simv1.InboxAction_INBOX_ACTION_UNSPECIFIED:
		fallthrough
	default:
		err = fmt.Errorf("%w: the action is reply, main or done", ErrInvalid)
	}
	return answerRPC(&simv1.InboxResponse{Mid: result.Mid, InboxOwns: result.InboxOwns, Moved: result.Moved}, err)
}

func (r *rpc) Clock(_ context.Context, q *connect.Request[simv1.ClockRequest]) (*connect.Response[simv1.ClockResponse], error) {
	ms := q.Msg.GetForwardMs()
	if ms > maxOffset.Milliseconds() {
		return nil, code(fmt.Errorf("%w: the clock moves at most %v in all", ErrInvalid, maxOffset))
	}
	if ms < 0 {
		return nil, code(fmt.Errorf("%w: the clock only moves forward", ErrInvalid))
	}
	offset, err := r.s.Clock(time.Duration(ms) * time.Millisecond)
	return answerRPC(&simv1.ClockResponse{OffsetMs: offset.Milliseconds(), NowMs: r.s.Now().UnixMilli()}, err)
}
