package ownership

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/control"
)

// Platform carries out what a holder forwards itself.
type Platform interface {
	// SendSurvey forwards a held survey with the token as its metadata. It
	// returns the platform's message id, or the platform's refusal as its
	// error body, or an error when the outcome is unknown.
	SendSurvey(ctx context.Context, thread control.ThreadKey, message []byte, token string) (mid string, refused []byte, err error)
	// Mirror tells the platform which side has control: its inbox or Baton.
	// A refusal is drift.
	Mirror(ctx context.Context, thread control.ThreadKey, inbox bool) error
}

// effectDeadline bounds one platform call of a holder.
const effectDeadline = 20 * time.Second

// aside is work for a holder that comes from this node: the outcome of an
// effect (with the effect's id), or a thread whose effects are to be looked at
// again (id zero).
type aside struct {
	thread control.ThreadKey
	id     control.Position
	cmd    control.Command
}

type effectJob struct {
	h      *holder
	thread control.ThreadKey
	effect control.Effect
}

// effects runs the platform calls of the node's holders, a bounded number at
// once. The log is their queue: an effect that finds no room stays open and is
// offered again.
type effects struct {
	s    *Service
	jobs chan effectJob
}

func newEffects(s *Service) *effects {
	return &effects{s: s, jobs: make(chan effectJob)}
}

func (e *effects) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for range e.s.cfg.Effects {
		g.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case j := <-e.jobs:
					j.h.report(ctx, e.carryOut(ctx, j))
				}
			}
		})
	}
	return g.Wait()
}

// carryOut makes the platform call and returns its outcome.
func (e *effects) carryOut(ctx context.Context, j effectJob) aside {
	ctx, cancel := context.WithTimeout(ctx, effectDeadline)
	defer cancel()
	out := aside{thread: j.thread, id: j.effect.ID}
	if j.effect.Kind == control.EffectSide {
		err := e.s.deps.Platform.Mirror(ctx, j.thread, j.effect.WantInbox)
		side := control.SideOutcome{ID: j.effect.ID, Confirmed: err == nil}
		if err != nil {
			side.Error = err.Error()
			e.s.deps.Observe.drift()
		}
		out.cmd = side
		return out
	}
	mid, refused, err := e.s.deps.Platform.SendSurvey(ctx, j.thread, j.effect.Message, Token(j.h.partition, j.effect.ID))
	switch {
	case err != nil:
		j.h.log.Warn("a held survey has no outcome", "err", err)
		out.cmd = control.SendOutcome{ID: j.effect.ID, Outcome: control.OutcomeUnknown}
	case refused != nil:
		out.cmd = control.SendOutcome{ID: j.effect.ID, Outcome: control.OutcomeRefused, Error: refused}
	default:
		out.cmd = control.SendOutcome{ID: j.effect.ID, Outcome: control.OutcomeConfirmed, Mid: mid}
	}
	return out
}

// report hands an outcome to the holder.
func (h *holder) report(ctx context.Context, a aside) {
	select {
	case h.asides <- a:
	case <-ctx.Done():
	}
}

// startEffects queues the thread's open effects that this holder carries out:
// one per kind and thread at a time.
func (h *holder) startEffects(key control.ThreadKey, st control.State) {
	for _, e := range st.Rare.Effects {
		if e.Kind == control.EffectSend {
			continue
		}
		if _, busy := h.busy[busyKey{key, e.Kind}]; busy {
			continue
		}
		h.busy[busyKey{key, e.Kind}] = e.ID
		h.todo = append(h.todo, effectJob{h: h, thread: key, effect: e})
	}
}

type busyKey struct {
	thread control.ThreadKey
	kind   control.EffectKind
}

// offerEffects hands queued effects to the workers that are free, and sets a
// timer for those whose time has not come.
func (h *holder) offerEffects(ctx context.Context) {
	for len(h.todo) > 0 {
		j := h.todo[0]
		if wait := h.time.until(j.effect.NextAt); j.effect.NextAt != 0 && wait > 0 {
			h.todo = h.todo[1:]
			h.later(ctx, j, wait)
			continue
		}
		select {
		case h.effects.jobs <- j:
			h.todo = h.todo[1:]
		default:
			return
		}
	}
}

// later brings a thread back to the holder when its effect may be tried again.
func (h *holder) later(ctx context.Context, j effectJob, wait time.Duration) {
	time.AfterFunc(wait, func() { h.report(ctx, aside{thread: j.thread, id: j.effect.ID}) })
}

// decideAside decides the outcome of an effect and looks for the thread's next.
func (h *holder) decideAside(s *step, a aside) {
	for _, kind := range []control.EffectKind{control.EffectSide, control.EffectSurvey} {
		if k := (busyKey{a.thread, kind}); h.busy[k] == a.id {
			delete(h.busy, k)
		}
	}
	if page := h.snapshot.Page(a.thread.Asset); page != nil && a.cmd != nil {
		s.decide(a.thread, page, a.cmd, cause{})
	}
	if _, changed := s.threads[a.thread]; changed {
		return // its effects are looked at when the step is durable
	}
	if st := s.state(a.thread); st.Rare != nil {
		h.startEffects(a.thread, st)
	}
}

// maxWaiting bounds the sends of one thread that wait for the platform's side.
const maxWaiting = 64

// waitsForSide parks a send while the platform has not confirmed that Baton's
// side has the thread; it is decided when the side is confirmed or refused, and
// answered 503 when its deadline passes first. Source: protocol 12.11.
func (h *holder) waitsForSide(s *step, c call) bool {
	if c.req.GetSend() == nil || !openSide(s.state(c.key)) {
		return false
	}
	if len(h.waiting[c.key]) >= maxWaiting {
		h.unavailable(c, "the platform has not yet confirmed that the thread left the inbox")
		return true
	}
	h.waiting[c.key] = append(h.waiting[c.key], c)
	return true
}

func openSide(st control.State) bool {
	if st.Rare == nil {
		return false
	}
	for _, e := range st.Rare.Effects {
		if e.Kind == control.EffectSide && !e.WantInbox && e.Attempt == 0 {
			return true
		}
	}
	return false
}

// resumeWaiting queues the parked sends of a thread whose side is settled.
func (h *holder) resumeWaiting(key control.ThreadKey) {
	if len(h.waiting) == 0 || openSide(h.threads[key].state) {
		return
	}
	h.ready = append(h.ready, h.waiting[key]...)
	delete(h.waiting, key)
}

// expireWaiting answers the parked sends whose deadline has passed.
func (h *holder) expireWaiting() {
	now := h.deps.Clock.Now()
	for key, calls := range h.waiting {
		kept := calls[:0]
		for _, c := range calls {
			if now.After(c.expires) {
				h.unavailable(c, "the platform has not confirmed that the thread left the inbox")
				continue
			}
			kept = append(kept, c)
		}
		if h.waiting[key] = kept; len(kept) == 0 {
			delete(h.waiting, key)
		}
	}
}
