package ownership

import (
	"context"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
)

// call is one command under way. reply is called at most once; a call that is
// never replied to runs into its caller's deadline.
type call struct {
	req     *commandv1.Request
	key     control.ThreadKey
	expires time.Time // the caller gives up then
	reply   func(*commandv1.Response)
}

// accept takes a command from the bus without blocking.
func (h *holder) accept(c bus.CommandCall) {
	req, err := c.Request()
	if err != nil {
		h.send(c, &commandv1.Response{Status: commandv1.Status_STATUS_INTERNAL, Detail: err.Error()})
		return
	}
	key := control.ThreadKey{Asset: req.GetAsset(), Person: req.GetPerson()}
	if key.Asset == 0 || key.Person == 0 || partition.Of(key, h.cfg.Partitions) != h.partition {
		// Decided here, the thread would have two holders.
		h.send(c, &commandv1.Response{Status: commandv1.Status_STATUS_INTERNAL, Detail: "the thread does not belong to this partition"})
		return
	}
	queued := call{
		req: req, key: key,
		expires: h.deps.Clock.Now().Add(time.Duration(req.GetBudgetMs()) * time.Millisecond),
		reply:   func(r *commandv1.Response) { h.send(c, r) },
	}
	select {
	case h.commands <- queued:
	default:
		h.tooMany(queued)
	}
}

// tooMany answers a command that the queue has no room for. To a repeat it is no
// final answer: an earlier copy may be decided yet.
func (h *holder) tooMany(c call) {
	if h.fenced(c.req) && c.req.GetAttempt() > 0 {
		h.unavailable(c, "the queue is full")
		return
	}
	h.deps.Observe.command(verbName(c.req), "busy")
	c.reply(&commandv1.Response{Status: commandv1.Status_STATUS_BUSY, RetryAfterMs: 1000})
}

func (h *holder) send(c bus.CommandCall, r *commandv1.Response) {
	r.Epoch, r.Partition, r.NowMs = h.current.Load().Epoch, uint32(h.partition), h.time.tenure().Milliseconds()
	if err := c.Reply(r); err != nil {
		h.log.Warn("answering a command", "err", err)
	}
}

// decideCall decides one command and stages its answer.
func (h *holder) decideCall(ctx context.Context, s *step, c call) {
	if c.req.GetSendOutcome() != nil {
		h.deps.Observe.reached(PointOutcomeArrived, h.partition)
	}
	if why := h.outdated(c); why != "" {
		h.unavailable(c, why)
		return
	}
	if err := h.catchUpRoster(ctx, s, c.req.GetRosterVersion()); err != nil {
		h.unavailable(c, err.Error())
		return
	}
	page := h.snapshot.Page(c.key.Asset)
	if page == nil {
		h.unavailable(c, "the page is not in the roster any more")
		return
	}
	if answer := h.answered(s, c); answer != nil {
		s.respond(c, answer, "repeat")
		return
	}
	if h.waitsForSide(s, c) {
		return
	}
	h.decideFresh(s, page, c)
}

// decideFresh decides a command that has not been answered before.
func (h *holder) decideFresh(s *step, page *control.Page, c call) {
	cmd := command(c.req, s.now)
	if cmd == nil {
		s.respond(c, &commandv1.Response{Status: commandv1.Status_STATUS_OK, Thread: h.view(s, c.key)}, "ok")
		return
	}
	if dryRun(c.req) {
		_, refusal := control.Decide(s.state(c.key), s.env(c.key, page), cmd)
		s.respond(c, h.response(s, c, refusal, 0), "dry_run")
		return
	}
	refusal := s.decide(c.key, page, cmd, cause{id: id16(c.req.GetId()), trace: id16(c.req.GetTrace())})
	if refusal.Refused() {
		h.refusals.note(c.key, control.AppID(c.req.GetApp()), refusal, s.state(c.key))
		h.noteCopy(c)
		s.respond(c, h.response(s, c, refusal, 0), "refused")
		return
	}
	at := s.answering(c)
	if at == 0 {
		h.noteCopy(c)
	}
	s.respond(c, h.response(s, c, refusal, at), "ok")
}

// answering is the position of the event that answers a command, 0 when its
// decision logged none of its own: a lapse that was due answers nobody. It is
// what a repeat of the command will be told.
func (s *step) answering(c call) control.Position {
	return s.tables.answers[id16(c.req.GetId())].Position
}

func (h *holder) response(s *step, c call, refusal control.Refusal, p control.Position) *commandv1.Response {
	r := &commandv1.Response{Status: commandv1.Status_STATUS_OK, Position: uint64(p), Thread: h.view(s, c.key)}
	if refusal.Refused() {
		r.Status = commandv1.Status_STATUS_REFUSED
		r.Refusal = &commandv1.Refusal{
			Reason: uint32(refusal.Reason), Verb: uint32(refusal.Verb), Owner: uint64(refusal.Owner),
			SinceMs: int64(refusal.Since), UntilMs: int64(refusal.Until), Next: uint32(refusal.Next),
		}
	}
	if p == 0 {
		return r
	}
	if e, ok := s.event(p); ok {
		_, r.Held = e.Event.(control.SurveyHeld)
	}
	return r
}

// view is the thread as it stands in the step.
func (h *holder) view(s *step, key control.ThreadKey) *commandv1.Thread {
	st := s.state(key)
	_, known := h.threads.get(key)
	v := &commandv1.Thread{
		Owner: uint64(st.Owner), ExpiresAtMs: int64(st.ExpiresAt), SinceMs: int64(st.Since), LastUserAtMs: int64(st.LastUserAt),
		Revision: st.Revision, Done: st.Done, Known: known || s.staged(key),
	}
	if r := st.Rare; r != nil {
		v.HeldSurveys, v.OpenEffects, v.UserMenu = uint32(len(r.Held)), uint32(len(r.Effects)), uint64(r.UserMenu)
		for _, q := range r.Requests {
			v.Requests = append(v.Requests, &commandv1.PendingRequest{App: uint64(q.App), SinceMs: int64(q.Since), Metadata: q.Metadata})
		}
	}
	return v
}

// answered finds the logged answer of a command that was decided before: the
// same command id, or the same Idempotency-Key.
func (h *holder) answered(s *step, c call) *commandv1.Response {
	if a, ok := s.lookup(id16(c.req.GetId())); ok {
		r := &commandv1.Response{Status: commandv1.Status_STATUS_OK, Position: uint64(a.Position), Thread: h.view(s, c.key)}
		r.Held = a.Held
		return r
	}
	a, ok := s.lookup(id16(c.req.GetIdempotencyKey()))
	if !ok || a.Outcome == control.OutcomeAbandoned {
		return nil
	}
	return &commandv1.Response{
		Status: commandv1.Status_STATUS_REPEAT, Position: uint64(a.Position), Thread: h.view(s, c.key),
		Earlier: &commandv1.Earlier{
			Outcome: uint32(a.Outcome), Mid: a.Mid, Error: a.Error, OtherCall: a.Digest != c.req.GetDigest(),
			Done: a.Done, Send: uint64(a.Position),
		},
	}
}

// lookup finds an answer by its key: staged, or in the store. The zero key has
// none.
func (s *step) lookup(key [16]byte) (eventlog.Answer, bool) {
	if key == ([16]byte{}) {
		return eventlog.Answer{}, false
	}
	if a, ok := s.tables.answers[key]; ok {
		return a, true
	}
	a, ok, err := s.h.part.Answer(key, s.now)
	s.fail("looking up an answer", err)
	return a, ok
}

func (s *step) respond(c call, r *commandv1.Response, result string) {
	s.h.deps.Observe.command(verbName(c.req), result)
	s.reply(func() { c.reply(r) })
}

func (h *holder) unavailable(c call, detail string) {
	h.deps.Observe.command(verbName(c.req), "unavailable")
	c.reply(&commandv1.Response{Status: commandv1.Status_STATUS_UNAVAILABLE, Detail: detail, RetryAfterMs: 1000})
}

// dismiss tells the callers that still wait to ask the next holder. It is for
// the calls that no step of the tenure has taken: of these nothing was decided
// here. Nothing may wait for this node's next tenure: while two believed to hold,
// both got the command, and the other may have given an answer that logs nothing
// (a refusal, a take by the owner). Decided later, it would take effect after
// that. A caller whose command was in a record is answered by that record's
// outcome or not at all, and one of a deposed holder not at all.
func (h *holder) dismiss(deposed bool) {
	for {
		select {
		case c := <-h.commands:
			if !deposed {
				h.unavailable(c, "the partition moves")
			}
		default:
			return
		}
	}
}

func id16(b []byte) (id [16]byte) {
	copy(id[:], b)
	return id
}
