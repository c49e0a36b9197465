package graphapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
)

// sending is an accepted send on its way. Source: design, life of a send.
type sending struct {
	service *Service
	call    *call
	message *graph.Message
	// started is when the holder was first asked: the send must leave within
	// ForwardWithin of it.
	started   time.Time
	partition uint32
	position  uint64
}

// ended is how a send ended and what the client is told of it.
type ended struct {
	outcome control.OutcomeKind
	mid     string
	refusal *platform.RefusedError
	reply   reply
	err     error
}

// send asks, forwards, logs the outcome, and only then answers. The caller
// holds the lane of the thread and app.
func (s *Service) send(ctx context.Context, c *call, m *graph.Message) (reply, error) {
	started := time.Now()
	q := c.question(m.Recipient.ID)
	q.Verb = sendVerb(sendCommand(c, m))
	answer, err := s.ask(ctx, q, min(s.config.AnswerWithin, s.config.ForwardWithin))
	if err != nil {
		return reply{}, unanswered() // it may be accepted, but is never forwarded
	}
	if err := s.verdict(c, answer); err != nil {
		return reply{}, err
	}
	if answer.GetStatus() == commandv1.Status_STATUS_REPEAT {
		return s.repeated(c, m, answer.GetEarlier())
	}
	if answer.GetHeld() {
		return success(graph.Sent{RecipientID: recipientID(m), MessageID: heldMid(answer)}.Body()), nil
	}
	f := &sending{
		service: s, call: c, message: m, started: started, partition: answer.GetPartition(), position: answer.GetPosition(),
	}
	// Accepted: it is carried to its end even when the client goes away.
	return f.finish(context.WithoutCancel(ctx), answer.GetSideUnconfirmed())
}

func recipientID(m *graph.Message) string { return strconv.FormatUint(m.Recipient.ID, 10) }

// heldMid is the id of a survey that waits for an idle thread: Baton's own.
func heldMid(a *commandv1.Response) string {
	return fmt.Sprintf("m_baton%d-%d", a.GetPartition(), a.GetPosition())
}

// repeated answers a send whose Idempotency-Key was used before. Source:
// design, life of a send, last row.
func (s *Service) repeated(c *call, m *graph.Message, e *commandv1.Earlier) (reply, error) {
	if e.GetOtherCall() {
		return reply{}, Refusal(control.Refusal{Reason: control.ReasonKeyReused}, c.caller.Asset.Rules)
	}
	switch control.OutcomeKind(e.GetOutcome()) {
	case control.OutcomeConfirmed:
		return success(graph.Sent{RecipientID: recipientID(m), MessageID: e.GetMid()}.Body()), nil
	case control.OutcomeRefused:
		return reply{status: 400, body: e.GetError()}, nil
	case control.OutcomeAbandoned: // the holder takes such a repeat as a fresh send
		return reply{}, unanswered()
	case control.OutcomeUnknown:
	}
	return reply{}, graph.OutcomeUnknown()
}

// finish forwards the accepted send, logs how it ended, and answers.
func (f *sending) finish(ctx context.Context, sideUnconfirmed bool) (reply, error) {
	end := ended{outcome: control.OutcomeAbandoned, err: unanswered()}
	if !sideUnconfirmed || f.awaitSide(ctx) {
		end = f.forward(ctx)
	}
	s := f.service
	if s.deps.Observe.Forwarded != nil {
		s.deps.Observe.Forwarded(outcomeName(end.outcome), time.Since(f.started))
	}
	if f.message.Action == "" && !f.log(ctx, end) {
		return reply{}, graph.OutcomeUnknown()
	}
	return end.reply, end.err
}

// awaitSide waits until the platform has confirmed which side has the thread,
// as long as the send may still leave. Source: protocol 12.11.
func (f *sending) awaitSide(ctx context.Context) bool {
	for f.left() > 0 {
		if !pause(ctx, min(100*time.Millisecond, f.left())) {
			return false
		}
		q := f.call.question(f.message.Recipient.ID)
		q.IdempotencyKey = nil
		q.Verb = &commandv1.Request_ReadOwner{ReadOwner: &commandv1.ReadOwner{}}
		answer, err := f.service.ask(ctx, q, max(f.left(), time.Millisecond))
		if err == nil && !answer.GetSideUnconfirmed() {
			return f.left() > 0
		}
	}
	return false
}

// left is how long the send may still leave.
func (f *sending) left() time.Duration {
	return f.service.config.ForwardWithin - time.Since(f.started)
}

// log tells the holder how the send ended; false when it could not be logged in
// time. A refusal by the holder means that the send is closed already, by its
// echo or by time.
func (f *sending) log(ctx context.Context, end ended) bool {
	id := newID()
	outcome := &commandv1.SendOutcome{Send: f.position, Outcome: uint32(end.outcome), Mid: end.mid}
	if end.refusal != nil {
		outcome.Error = end.refusal.Body
	}
	q := &commandv1.Request{
		Id: id[:], Asset: f.call.caller.Asset.ID, Person: f.message.Recipient.ID,
		RosterVersion: f.call.snapshot.Version(), Trace: f.call.trace[:],
		Verb: &commandv1.Request_SendOutcome{SendOutcome: outcome},
	}
	for limit := time.Now().Add(f.service.config.OutcomeWithin); ; {
		answer, err := f.service.ask(ctx, proto.CloneOf(q), max(time.Until(limit), time.Millisecond))
		switch {
		case err != nil:
			f.service.logger.Error("outcome of a send not logged", "partition", f.partition, "position", f.position,
				"outcome", outcomeName(end.outcome), "trace_id", f.call.trace.String(), "err", err)
			return false
		case answer.GetStatus() != commandv1.Status_STATUS_BUSY:
			return answer.GetStatus() != commandv1.Status_STATUS_INTERNAL
		}
		if !pause(ctx, time.Duration(max(answer.GetRetryAfterMs(), 50))*time.Millisecond) {
			return false
		}
	}
}

func outcomeName(o control.OutcomeKind) string {
	switch o {
	case control.OutcomeConfirmed:
		return "confirmed"
	case control.OutcomeRefused:
		return "refused"
	case control.OutcomeAbandoned:
		return "abandoned"
	case control.OutcomeUnknown:
	}
	return "unknown"
}
