package fanout

import (
	"context"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
)

// planned is a record as it was planned for the apps that lag: they read the
// same log, and whoever of them comes first plans it for all.
type planned struct {
	before, after *mark
	events        int
	version       uint64 // of the roster that says how it looks
	mail          mail
	losses        []DeadLetter
	awaited       appSet // those that have not taken it in yet
	size          int
	kept          time.Time // since when
}

// keptFor is how long those that take deliveries have to come for a record that is
// kept, before it gives way to newer ones. Until then the newer ones are not kept:
// whoever comes behind asks for the oldest first.
const keptFor = 5 * time.Second

// plans keeps a partition's records that other lagging apps still wait for, within
// bounds: what was not kept is planned again. Safe for concurrent use.
type plans struct {
	turn  chan struct{} // held while one is made: two apps side by side do not make it twice
	limit int           // bytes
	// wanted reports whether any of some apps takes deliveries now.
	wanted func(appSet) bool

	mu    sync.Mutex
	by    map[uint64]*planned // by the sequence of the record
	order []uint64            // of the sequences as they came; some are gone already
	bytes int
}

func newPlans(limit int, wanted func(appSet) bool) *plans {
	return &plans{turn: make(chan struct{}, 1), limit: limit, wanted: wanted, by: map[uint64]*planned{}}
}

// of is the record with a sequence for an app that stands at a mark; nil for one
// that must be planned.
func (ps *plans) of(sequence uint64, app control.AppID, at *mark, version uint64) *planned {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.by[sequence]
	if p == nil || p.version != version || !p.awaited.has(app) || *p.before != *at {
		return nil
	}
	return p
}

// keep keeps a record for the others that wait for it.
func (ps *plans) keep(p *planned) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	now, sequence := time.Now(), p.after.sequence
	ps.drop(sequence)
	if len(p.awaited) < 2 {
		return
	}
	for len(ps.order) > 0 && ps.crowded(p.size, now) {
		ps.drop(ps.order[0])
		ps.order = ps.order[1:]
	}
	if ps.bytes+p.size > ps.limit {
		return
	}
	p.kept = now
	ps.by[sequence] = p
	ps.order = append(ps.order, sequence)
	ps.bytes += p.size
}

// crowded reports whether the oldest record is to give way to another one. Called
// with the lock held.
func (ps *plans) crowded(size int, now time.Time) bool {
	oldest := ps.by[ps.order[0]]
	return oldest == nil || ps.bytes+size > ps.limit && (now.Sub(oldest.kept) >= keptFor || !ps.wanted(oldest.awaited))
}

// drop lets a record go. Called with the lock held.
func (ps *plans) drop(sequence uint64) {
	if p := ps.by[sequence]; p != nil {
		ps.bytes -= p.size
		delete(ps.by, sequence)
	}
}

// taken notes that an app has taken a record in; the last one drops it.
func (ps *plans) taken(p *planned, app control.AppID) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p.awaited = p.awaited.without(app)
	if len(p.awaited) == 0 && ps.by[p.after.sequence] == p {
		ps.drop(p.after.sequence)
	}
}

// plan returns the record that follows a place's mark, planned for its app; nil
// for one that does not count or cannot be read, which halts the partition. The
// error is ctx's.
func (pl *place) plan(ctx context.Context, m bus.Message, before *mark, replays bool) (*planned, error) {
	h := pl.holder
	if !replays {
		select {
		case h.plans.turn <- struct{}{}:
			defer func() { <-h.plans.turn }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		_, version := h.service.today()
		if have := h.plans.of(m.Sequence, pl.app, before, version); have != nil {
			return have, nil
		}
	}
	r, err := h.decode(ctx, m, before)
	if err != nil {
		h.halt(err)
	}
	if r == nil {
		return nil, ctx.Err() //nolint:nilnil // does not count
	}
	made := &planned{before: before, after: markAfter(r, m.Sequence), events: len(r.Entries), awaited: appSet{pl.app}}
	p := h.planFor(func(app control.AppID) bool { return app == pl.app })
	if replays {
		p.as = h.service.deps.Rosters.Current()
	} else {
		made.awaited = h.lack(made.awaited, made.after)
		p.wanted = made.awaited.has
	}
	if err := h.plan(ctx, p, r, before); err != nil {
		return nil, err
	}
	made.version, made.mail, made.losses, made.size = p.version, p.mail, p.losses, p.size
	if !replays {
		h.plans.keep(made)
	}
	return made, nil
}

// lack adds to a set the apps that read for themselves, have not read up to a mark,
// and are not known to be dead.
func (h *holder) lack(apps appSet, upTo *mark) appSet {
	h.mu.Lock()
	defer h.mu.Unlock()
	for app, pl := range h.mu.places {
		if pl.engine == nil || !pl.behind() || pl.track.read >= upTo.position || apps.has(app) {
			continue
		}
		if lives, _ := pl.engine.lives(); lives {
			apps = append(apps, app)
		}
	}
	return apps
}

// lost are the deliveries of the record to an app that cannot be made.
func (p *planned) lost(app control.AppID) (lost []DeadLetter) {
	for i := range p.losses {
		if p.losses[i].App == app {
			lost = append(lost, p.losses[i])
		}
	}
	return lost
}

// anyFlows reports whether any of some apps takes deliveries now.
func (s *Service) anyFlows(apps appSet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, app := range apps {
		if e := s.mu.engines[app]; e != nil {
			if _, flows := e.lives(); flows {
				return true
			}
		}
	}
	return false
}
