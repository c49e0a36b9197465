package ownership

import (
	"container/heap"
	"context"
	"maps"
	"slices"
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

// aside is work for a holder that comes from this node: the outcome of the
// effect id.
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

// busyKey: one effect of a kind is carried out per thread at a time.
type busyKey struct {
	thread control.ThreadKey
	kind   control.EffectKind
}

// busyState is the effect that is queued, or flying: with a worker.
type busyState struct {
	id     control.Position
	flying bool
}

func (j *effectJob) key() busyKey { return busyKey{j.thread, j.effect.Kind} }

// startEffects queues the thread's open effects that this holder carries out:
// one per kind and thread at a time. What is queued and no longer open makes
// room for what is; what is flying is waited for.
func (h *holder) startEffects(key control.ThreadKey) {
	st := h.state(key)
	if st.Rare == nil {
		return
	}
	for _, e := range st.Rare.Effects {
		if e.Kind == control.EffectSend {
			continue
		}
		j := effectJob{h: h, thread: key, effect: e}
		if b, busy := h.busy[j.key()]; busy && (b.flying || isOpen(st, b.id)) {
			continue
		}
		h.busy[j.key()] = busyState{id: e.ID}
		if e.NextAt > h.time.now() {
			heap.Push(&h.delayed, j)
			continue
		}
		h.todo = append(h.todo, j)
	}
}

func isOpen(st control.State, id control.Position) bool {
	return st.Rare != nil && slices.ContainsFunc(st.Rare.Effects, func(e control.Effect) bool {
		return e.Kind != control.EffectSend && e.ID == id
	})
}

// offerEffects hands the queued effects whose time has come to the workers that
// are free.
func (h *holder) offerEffects() {
	for now := h.time.now(); len(h.delayed) > 0 && h.delayed[0].effect.NextAt <= now; {
		h.todo = append(h.todo, heap.Pop(&h.delayed).(effectJob)) //nolint:errcheck,forcetypeassert // holds nothing else
	}
	for len(h.todo) > 0 {
		j := h.todo[0]
		if !h.wanted(j) {
			h.todo = h.todo[1:]
			continue
		}
		select {
		case h.effects.jobs <- j:
			h.busy[j.key()] = busyState{id: j.effect.ID, flying: true}
			h.todo = h.todo[1:]
		default:
			return
		}
	}
}

// wanted reports whether a queued effect is still to be carried out.
func (h *holder) wanted(j effectJob) bool {
	if b := h.busy[j.key()]; b.id != j.effect.ID || b.flying {
		return false // another has taken its place
	}
	if isOpen(h.state(j.thread), j.effect.ID) {
		return true
	}
	delete(h.busy, j.key())
	return false
}

// dropEffects forgets what is queued. What is flying stays known: its outcome
// comes, and the next tenure must not carry it out a second time meanwhile.
func (h *holder) dropEffects() {
	h.todo, h.delayed = nil, nil
	maps.DeleteFunc(h.busy, func(_ busyKey, b busyState) bool { return !b.flying })
}

// delayedJobs is a heap of effects by the time when they may be tried again.
type delayedJobs []effectJob

func (d delayedJobs) Len() int           { return len(d) }
func (d delayedJobs) Less(i, j int) bool { return d[i].effect.NextAt < d[j].effect.NextAt }
func (d delayedJobs) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }

// Push implements heap.Interface.
func (d *delayedJobs) Push(j any) { *d = append(*d, j.(effectJob)) } //nolint:errcheck,forcetypeassert // holds nothing else

// Pop implements heap.Interface.
func (d *delayedJobs) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}

// decideAside decides the outcome of an effect; the thread's next is looked for
// when the step is done.
func (h *holder) decideAside(s *step, a aside) {
	h.deps.Observe.reached(PointOutcomeArrived, h.partition)
	for _, kind := range []control.EffectKind{control.EffectSide, control.EffectSurvey} {
		if k := (busyKey{a.thread, kind}); h.busy[k].id == a.id {
			delete(h.busy, k)
		}
	}
	if page := h.snapshot.Page(a.thread.Asset); page != nil {
		s.decide(a.thread, page, a.cmd, cause{})
	}
	s.look = append(s.look, a.thread)
}
