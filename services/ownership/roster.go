package ownership

import (
	"context"
	"fmt"
	"slices"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
)

// openRoster loads the roster that was in force at the end of the log and looks
// for threads whose owner has gone since: a sweep that a crash cut short.
func (h *holder) openRoster(ctx context.Context) error {
	snap, err := h.deps.Rosters.At(ctx, h.applied.RosterVersion)
	if err != nil {
		return fmt.Errorf("ownership: roster version %d: %w", h.applied.RosterVersion, err)
	}
	h.snapshot = snap
	h.sweep(nil)
	return nil
}

// refreshRoster applies the newest roster, if it is not yet in force.
func (h *holder) refreshRoster(s *step) {
	if snap := h.deps.Rosters.Current(); snap.Version() > h.snapshot.Version() {
		h.applyRoster(s, snap)
	}
}

// catchUpRoster applies the roster up to the version under which a caller was
// authenticated.
func (h *holder) catchUpRoster(ctx context.Context, s *step, version uint64) error {
	if version <= h.snapshot.Version() {
		return nil
	}
	snap, err := h.deps.Rosters.At(ctx, version)
	if err != nil {
		return fmt.Errorf("roster version %d: %w", version, err)
	}
	h.applyRoster(s, snap)
	return nil
}

// applyRoster puts a roster into force: every decision after it in the log
// follows it.
func (h *holder) applyRoster(s *step, snap *roster.Snapshot) {
	old := h.snapshot
	h.snapshot = snap
	s.add(eventlog.Entry{Event: control.RosterApplied{Version: snap.Version()}}, control.State{})
	for _, asset := range snap.Assets() {
		if before := old.Page(asset); before != nil {
			h.roleChanges(s, before, snap.Page(asset))
		}
	}
	h.sweep(s)
}

// roleChanges logs, on the page's home partition, which apps have another role
// now. Rows 93, 94.
func (h *holder) roleChanges(s *step, before, after *control.Page) {
	home := control.ThreadKey{Asset: after.Asset}
	if partition.Of(home, h.cfg.Partitions) != h.partition {
		return
	}
	for _, e := range control.RoleChanges(before, after, s.now, control.Actor{Kind: control.ActorOperator, Name: h.snapshot.Document().ChangedBy}) {
		s.add(eventlog.Entry{Thread: home, Event: e}, control.State{})
	}
}

// sweep lists the threads whose owner is not connected any more. They are
// decided in as many steps as it takes; until then the rules treat them as
// already released, so order does not show. s is the step under way, nil for
// none.
func (h *holder) sweep(s *step) {
	h.sweeping = nil
	orphan := func(key control.ThreadKey, owner control.AppID) bool {
		page := h.snapshot.Page(key.Asset)
		return owner != 0 && page != nil && !page.Connected(owner)
	}
	for key, t := range h.threads.all() {
		if orphan(key, t.state.Owner) {
			h.sweeping = append(h.sweeping, key)
		}
	}
	if s != nil { // threads that gained their owner in this step
		for i := range s.changed {
			c := &s.changed[i]
			if !orphan(c.Thread, h.state(c.Thread).Owner) && orphan(c.Thread, c.State.Owner) {
				h.sweeping = append(h.sweeping, c.Thread)
			}
		}
	}
	slices.SortFunc(h.sweeping, func(a, b control.ThreadKey) int {
		if a.Less(b) {
			return -1
		}
		return 1
	})
}

// Sweeps share the records with traffic: sweepBatch threads in a record, in at
// most one record of sweepShare while there is traffic.
const (
	sweepBatch = 256
	sweepShare = 4
)

// decideSweep decides a share of the threads being swept, once in a step.
func (h *holder) decideSweep(s *step) bool {
	if len(h.sweeping) == 0 || s.swept || len(s.entries) > 0 && h.sweepTurn%sweepShare != 0 {
		return false
	}
	s.swept = true
	for n := 0; n < sweepBatch && len(h.sweeping) > 0 && !s.full(); n++ {
		key := h.sweeping[0]
		h.sweeping = h.sweeping[1:]
		page, due := h.snapshot.Page(key.Asset), control.NextDue(s.state(key), nil)
		if page == nil || due != 0 && due <= s.now {
			continue // what is due is the timers', after the input that comes before it
		}
		s.decide(key, page, control.Due{}, cause{})
	}
	return true
}
