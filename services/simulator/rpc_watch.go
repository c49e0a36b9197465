package simulator

import (
	"context"
	"time"

	"connectrpc.com/connect"

	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
)

func (r *rpc) GetSwitches(_ context.Context, q *connect.Request[simv1.GetSwitchesRequest]) (*connect.Response[simv1.GetSwitchesResponse], error) {
	page, err := optionalID("page_id", q.Msg.GetPageId())
	if err == nil {
		err = r.s.checkPage(page)
	}
	return answerRPC(&simv1.GetSwitchesResponse{Switches: switchesOut(r.s.SwitchesOf(page))}, err)
}

func (r *rpc) SetSwitches(_ context.Context, q *connect.Request[simv1.SetSwitchesRequest]) (*connect.Response[simv1.SetSwitchesResponse], error) {
	page, err := optionalID("page_id", q.Msg.GetPageId())
	switch {
	case err != nil:
	case q.Msg.GetSwitches() == nil:
		err = r.s.ClearSwitches(page)
	default:
		err = r.s.SetSwitches(page, switchesIn(q.Msg.GetSwitches()))
	}
	return answerRPC(&simv1.SetSwitchesResponse{Switches: switchesOut(r.s.SwitchesOf(page))}, err)
}

// delayIn reads milliseconds; beyond maxDelay any value is as invalid as the
// next, and does not overflow.
func delayIn(ms int64) time.Duration {
	limit := 2 * maxDelay.Milliseconds()
	return time.Duration(max(-1, min(ms, limit))) * time.Millisecond
}

func switchesIn(m *simv1.Switches) Switches {
	w := Switches{
		EchoFirst: m.GetEchoFirst(), EchoTwice: m.GetEchoTwice(), EchoNever: m.GetEchoNever(), EchoLate: delayIn(m.GetEchoLateMs()),
		FailAfterSend: m.GetFailAfterSend(), LoseMetadata: m.GetLoseMetadata(), OutOfOrder: m.GetOutOfOrder(),
		WebhookDelay: delayIn(m.GetWebhookDelayMs()), AnswerDelay: delayIn(m.GetAnswerDelayMs()),
		DropDeliveries: m.GetDropDeliveries(), DropReads: m.GetDropReads(),
		StrictControl: m.GetStrictControl(), StrictPeople: m.GetStrictPeople(), Calls: int(m.GetCalls()),
	}
	if r := m.GetRefuse(); r != nil {
		w.Refuse = &Refusal{
			Edge: r.GetEdge(), Status: int(r.GetStatus()), Code: int(r.GetCode()), Subcode: int(r.GetSubcode()), Message: r.GetMessage(),
		}
	}
	return w
}

func switchesOut(w Switches) *simv1.Switches {
	m := &simv1.Switches{
		EchoFirst: w.EchoFirst, EchoTwice: w.EchoTwice, EchoNever: w.EchoNever, EchoLateMs: w.EchoLate.Milliseconds(),
		FailAfterSend: w.FailAfterSend, LoseMetadata: w.LoseMetadata, OutOfOrder: w.OutOfOrder,
		WebhookDelayMs: w.WebhookDelay.Milliseconds(), AnswerDelayMs: w.AnswerDelay.Milliseconds(),
		DropDeliveries: w.DropDeliveries, DropReads: w.DropReads,
		StrictControl: w.StrictControl, StrictPeople: w.StrictPeople, Calls: int32(w.Calls),
	}
	if r := w.Refuse; r != nil {
		m.Refuse = &simv1.Refusal{
			Edge: r.Edge, Status: int32(r.Status), Code: int32(r.Code), Subcode: int32(r.Subcode), Message: r.Message,
		}
	}
	return m
}

func (r *rpc) Transcript(_ context.Context, q *connect.Request[simv1.TranscriptRequest]) (*connect.Response[simv1.TranscriptResponse], error) {
	key, err := threadOf(q.Msg)
	if err != nil {
		return nil, code(err)
	}
	lines, err := r.s.Transcript(key.Asset, key.Person)
	out := &simv1.TranscriptResponse{}
	for _, l := range lines {
		out.Lines = append(out.Lines, lineOut(l))
	}
	return answerRPC(out, err)
}

func (r *rpc) Watch(ctx context.Context, q *connect.Request[simv1.WatchRequest], stream *connect.ServerStream[simv1.WatchResponse]) error {
	key, err := threadOf(q.Msg)
	if err != nil {
		return code(err)
	}
	f := Filter{Page: key.Asset, Person: key.Person, After: q.Msg.GetAfter()}
	return r.s.Watch(ctx, f, func(l Line) error {
		return stream.Send(&simv1.WatchResponse{Line: lineOut(l)})
	})
}

func lineOut(l Line) *simv1.Line {
	speaker := simv1.Speaker_SPEAKER_PERSON
	switch l.Speaker {
	case SpeakerPage:
		speaker = simv1.Speaker_SPEAKER_PAGE
	case SpeakerInbox:
		speaker = simv1.Speaker_SPEAKER_INBOX
	case SpeakerPerson:
	}
	return &simv1.Line{
		Number: l.Number, AtMs: int64(l.At), PageId: decimal(l.Page), UserId: decimal(l.Person),
		Speaker: speaker, Mid: l.Mid, Text: l.Text, Buttons: l.Buttons,
	}
}
