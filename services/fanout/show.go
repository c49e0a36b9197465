package fanout

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
	fanoutv1 "github.com/baton-router/baton/pkg/gen/baton/fanout/v1"
)

// Overview is where apps stand in a whole installation.
type Overview struct {
	// Apps are those that receive, by ascending id.
	Apps []AppStatus
	// Missing are the partitions that nobody answered for.
	Missing []int
}

// Show asks the holders of all partitions where an app stands, or all apps with
// 0. It blocks for at most five seconds; the error is ErrNotHeld when nobody
// answered at all, or ctx's.
func (r Remote) Show(ctx context.Context, app control.AppID) (Overview, error) {
	answers, faults := make([]*fanoutv1.SteerResponse, r.Partitions), make([]error, r.Partitions)
	req := &fanoutv1.SteerRequest{Verb: fanoutv1.Verb_VERB_SHOW, App: uint64(app)}
	r.each(func(p int) { answers[p], faults[p] = r.ask(ctx, p, req) })
	m := merging{apps: map[control.AppID]*AppStatus{}, seen: map[nodeApp]bool{}}
	var o Overview
	for p, answer := range answers {
		if faults[p] != nil {
			o.Missing = append(o.Missing, p)
			continue
		}
		m.answer(p, answer)
	}
	if len(o.Missing) == r.Partitions {
		return o, errors.Join(ctx.Err(), summary(faults[:1]))
	}
	for _, id := range slices.Sorted(maps.Keys(m.apps)) {
		o.Apps = append(o.Apps, *m.apps[id])
	}
	return o, nil
}

// merging adds up the answers: a place counts for itself, a queue once for each
// node.
type merging struct {
	apps map[control.AppID]*AppStatus
	seen map[nodeApp]bool
}

type nodeApp struct {
	node string
	app  control.AppID
}

func (m *merging) answer(p int, r *fanoutv1.SteerResponse) {
	for _, a := range r.GetApps() {
		id := control.AppID(a.GetApp())
		st := m.apps[id]
		if st == nil {
			st = &AppStatus{App: id, Verified: true}
			m.apps[id] = st
		}
		if key := (nodeApp{string(r.GetNode()), id}); !m.seen[key] {
			m.seen[key] = true
			st.queue(a.GetQueue())
		}
		if pl := a.GetPlace(); pl != nil {
			st.add(PlaceStatus{
				Partition: p, Node: r.GetNodeName(), Watermark: control.Position(pl.GetWatermark()),
				Read: control.Position(pl.GetRead()), Head: control.Position(pl.GetHead()), Undelivered: int(pl.GetUndelivered()),
				Oldest: time.Duration(pl.GetOldestMs()) * time.Millisecond, ReplayUntil: control.Position(pl.GetReplayUntil()),
			}, pl.GetPaused(), pl.GetPauseReason())
		}
	}
}

// queue counts a node's queue in.
func (s *AppStatus) queue(q *fanoutv1.Queue) {
	s.Verified = s.Verified && q.GetVerified()
	s.Paused = s.Paused || q.GetPaused()
	s.Breaker = max(s.Breaker, BreakerState(min(q.GetBreaker(), uint32(BreakerHalfOpen))))
	s.Queued += int(q.GetLetters())
	s.QueuedBytes += int(q.GetBytes())
	s.InFlight += int(q.GetInFlight())
	s.Slots += int(q.GetSlots())
	s.Parked += int(q.GetParked())
	s.Blocked += int(q.GetBlocked())
	s.Oldest = max(s.Oldest, time.Duration(q.GetOldestMs())*time.Millisecond)
}

// show is where apps stand on this node and in this partition; all of them with
// 0.
func (h *holder) show(app control.AppID) []*fanoutv1.App {
	var list []*fanoutv1.App
	for _, e := range h.service.allEngines() {
		if app == 0 || e.id == app {
			list = append(list, &fanoutv1.App{App: uint64(e.id), Queue: e.describe(), Place: h.placeOf(e.id)})
		}
	}
	slices.SortFunc(list, func(a, b *fanoutv1.App) int { return cmp.Compare(a.GetApp(), b.GetApp()) })
	return list
}

func (e *engine) describe() *fanoutv1.Queue {
	st := e.status()
	return &fanoutv1.Queue{
		Verified: st.Verified, Paused: st.Paused, Breaker: uint32(st.Breaker), Letters: uint32(st.Queued), Bytes: uint64(st.QueuedBytes),
		InFlight: uint32(st.InFlight), Slots: uint32(st.Slots), Parked: uint32(st.Parked), Blocked: uint32(st.Blocked),
		OldestMs: st.Oldest.Milliseconds(),
	}
}

func (h *holder) placeOf(app control.AppID) *fanoutv1.Place {
	h.mu.Lock()
	defer h.mu.Unlock()
	pl := h.mu.places[app]
	if pl == nil {
		return nil
	}
	st := h.where(pl)
	return &fanoutv1.Place{
		Watermark: uint64(st.Watermark), Read: uint64(st.Read), Head: uint64(st.Head), Undelivered: uint32(st.Undelivered),
		OldestMs: st.Oldest.Milliseconds(), Paused: pl.paused, PauseReason: pl.pauseReason, ReplayUntil: uint64(st.ReplayUntil),
	}
}
