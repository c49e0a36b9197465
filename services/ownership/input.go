package ownership

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/inbound"
)

// inboundRest is an inbound message of which some events are still to be
// decided. before is the sequence decided in full before it.
type inboundRest struct {
	events   []inbound.Event
	sequence uint64 // zero when there is no such message
	next     int
	before   uint64
}

func (r *inboundRest) left() bool { return r.sequence != 0 }

// keepEvents is the most room for events that a holder keeps for the next message.
const keepEvents = 64

// done forgets the message, but for some of its memory.
func (r *inboundRest) done() {
	events := r.events
	if cap(events) > keepEvents {
		events = nil
	}
	clear(events)
	*r = inboundRest{events: events[:0]}
}

// readInput feeds the holders from one reader for all partitions. Damage on the
// input halts them all: whose events the damaged message holds is not known.
func (s *Service) readInput(ctx context.Context) error {
	err := s.feedHolders(ctx)
	if !errors.Is(err, bus.ErrDamaged) {
		return err
	}
	for _, h := range s.holders {
		h.fault(err)
	}
	<-ctx.Done()
	return nil
}

// fault halts the holder as soon as it looks. It does not block.
func (h *holder) fault(err error) {
	select {
	case h.faults <- err:
	default: // one is enough
	}
}

func (s *Service) feedHolders(ctx context.Context) error {
	start := s.inputStart()
	for s.cfg.Standby {
		var err error
		if start, err = s.passInput(ctx); err == nil {
			break
		}
		s.deps.Logger.Warn("finding the end of the input", "err", err)
		if err := pause(ctx, repeatDelay); err != nil {
			return err
		}
	}
	return s.deps.Input.ReadInbound(ctx, bus.ReadOptions{After: start}, func(m bus.Message) error {
		if m.Partition >= len(s.holders) {
			return nil
		}
		s.witness.see(m)
		return s.holders[m.Partition].intake.offer(ctx, m)
	})
}

// inputStart is the smallest input position of the partitions.
func (s *Service) inputStart() uint64 {
	start := ^uint64(0)
	for _, h := range s.holders {
		start = min(start, h.part.Applied().Input)
	}
	return start
}

// passInput makes the shared reader begin at the present end: what lies before
// it was decided, or is read by the tenure that is to decide it.
func (s *Service) passInput(ctx context.Context) (start uint64, err error) {
	_, end, _, err := s.deps.Input.InboundRange(ctx)
	if err != nil {
		return 0, err
	}
	lasts := make([]uint64, len(s.holders))
	for p := range lasts {
		if lasts[p], err = s.deps.Input.LastInbound(ctx, p); err != nil {
			return 0, err
		}
	}
	for p, h := range s.holders {
		h.intake.pass(min(lasts[p], end))
	}
	return end, nil
}

// decideInput decides an inbound message: all its events, or as many as a
// record holds; the rest comes with the next steps. One that cannot be read halts,
// unless its loss was accepted.
func (h *holder) decideInput(s *step, m bus.Message) {
	if m.Sequence <= h.consumed {
		return
	}
	h.deps.Observe.reached(PointInputRead, h.partition)
	events, err := inbound.Parse(h.unread.events[:0], m.Data)
	if err != nil && m.Sequence == h.givenUp {
		h.log.Error("inbound message cannot be read and is skipped", "sequence", m.Sequence, "err", err)
		h.consumed = m.Sequence
		return
	}
	if err != nil {
		h.unreadable = m.Sequence
		s.fail("reading input", halt(DamageInput, "input %d: %v", m.Sequence, err))
		return
	}
	h.unread = inboundRest{events: events, sequence: m.Sequence, before: h.consumed}
	h.decideRest(s)
}

// decideRest goes on with the message under way.
func (h *holder) decideRest(s *step) {
	r := &h.unread
	events := r.events[r.next:]
	earlier := s.seenEarlier(events)
	for i := range events {
		if s.brimful() {
			return
		}
		h.decideEvent(s, &events[i], control.Ref{Sequence: r.sequence, Index: uint32(r.next)}, earlier[i])
		r.next++
	}
	h.consumed = r.sequence
	r.done()
}

// decideEvent decides one webhook event, unless it came before, in this step or
// in an earlier one.
func (h *holder) decideEvent(s *step, e *inbound.Event, ref control.Ref, earlier bool) {
	page := h.snapshot.Page(e.Asset)
	if page == nil {
		return // ingress counted it; the page has gone since
	}
	if _, now := s.tables.seen[e.Dedupe]; now || earlier {
		h.deps.Observe.duplicate()
		return
	}
	key := control.ThreadKey{Asset: e.Asset, Person: e.Person}
	s.decide(key, page, h.webhook(s, key, page, e, ref), cause{trace: e.Trace})
}

// seenEarlier reports, for each event, whether it was decided in an earlier step
// within the time that duplicates are remembered. The result is good until the
// next call.
func (s *step) seenEarlier(events []inbound.Event) []bool {
	h := s.h
	h.keys, h.earlier = h.keys[:0], h.earlier[:0]
	for i := range events {
		h.keys, h.earlier = append(h.keys, events[i].Dedupe), append(h.earlier, false)
	}
	err := h.part.SeenOf(h.keys, s.now, func(i int, _ control.Millis) { h.earlier[i] = true })
	s.fail("looking up duplicates", err)
	return h.earlier
}

// maxMid bounds the message ids that are kept, in bytes. What an event carries
// into the log is bounded: a record must hold it.
const maxMid = 1024

// webhook is the command of an inbound event, with what only the holder knows.
func (h *holder) webhook(s *step, key control.ThreadKey, page *control.Page, e *inbound.Event, ref control.Ref) control.Webhook {
	mid, metadata := e.Mid, e.Metadata
	if len(mid) > maxMid {
		mid = ""
	}
	if runes := []rune(metadata); len(runes) > control.MaxMetadata {
		metadata = string(runes[:control.MaxMetadata])
	}
	w := control.Webhook{
		Input: ref, Kind: e.Kind, Dedupe: e.Dedupe, At: e.At, Mid: mid, Payload: e.PayloadHash,
		Ref: e.Ref, Ad: e.Ad, FromAd: e.FromAd,
		ReceivingApp: e.ReceivingApp, HasWindow: e.HasWindow, ReceivingDays: e.ReceivingDays,
		EchoApp: e.EchoApp, Questions: e.Questions,
		From: e.PreviousOwner, To: e.NewOwner, Metadata: metadata,
	}
	if w.Kind == control.KindPostback && w.Payload != 0 {
		w.ButtonCreator = s.button(key, w.Payload)
	}
	if w.Kind == control.KindEcho && w.EchoApp == page.BatonApp {
		w.Sent = s.sent(metadata, mid)
	}
	return w
}

// button is the app whose accepted send on the thread carried the payload.
func (s *step) button(key control.ThreadKey, payload uint64) control.AppID {
	if app, ok := s.tables.buttons[buttonKey{key, payload}]; ok {
		return app
	}
	app, _, err := s.h.part.Button(key, payload)
	s.fail("looking up a button", err)
	return app
}

// sent finds the send that an echo of Baton's own app belongs to: by the token
// in its metadata, else by its mid.
func (s *step) sent(metadata, mid string) *control.Sent {
	p, ok := ParseToken(metadata, s.h.partition)
	if !ok {
		if p, ok = s.mid(mid); !ok {
			return nil
		}
	}
	e, ok := s.event(p)
	if !ok {
		return nil
	}
	switch e := e.Event.(type) {
	case control.SendAccepted:
		return &control.Sent{ID: p, App: e.App, Owner: e.Owner, Metadata: e.Metadata}
	case control.SurveyDelivered:
		return &control.Sent{ID: p, App: e.App}
	default:
		return nil
	}
}

func (s *step) mid(mid string) (control.Position, bool) {
	if p, ok := s.tables.mids[mid]; ok {
		return p, true
	}
	p, ok, err := s.h.part.Send(mid)
	s.fail("looking up a message id", err)
	return p, ok
}

const tokenPrefix = "baton1:"

// Token is the metadata of a forwarded send: it names the accepted send in the
// echo. Source: design, life of a send.
func Token(partition int, p control.Position) string {
	return tokenPrefix + strconv.Itoa(partition) + "-" + strconv.FormatUint(uint64(p), 10)
}

// ParseToken reads a token of the given partition.
func ParseToken(metadata string, partition int) (control.Position, bool) {
	rest, ok := strings.CutPrefix(metadata, tokenPrefix)
	if !ok {
		return 0, false
	}
	part, pos, ok := strings.Cut(rest, "-")
	if !ok || part != strconv.Itoa(partition) {
		return 0, false
	}
	p, err := strconv.ParseUint(pos, 10, 64)
	return control.Position(p), err == nil && p > 0
}
