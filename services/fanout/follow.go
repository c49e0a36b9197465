package fanout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// ErrLogGap halts a partition whose log has a hole or repeats a position.
var ErrLogGap = errors.New("fanout: the log is not continuous")

// follow takes a record of the reader in.
func (h *holder) follow(ctx context.Context, m bus.Message) error {
	h.following.Lock()
	defer h.following.Unlock()
	return h.followNext(ctx, m)
}

// followNext takes a record in: every app that keeps up is offered its letters;
// one that has no room falls behind and reads for itself later. It returns an
// error only when ctx ended. Called by one goroutine at a time.
func (h *holder) followNext(ctx context.Context, m bus.Message) error {
	h.mu.Lock()
	before, skip := h.mu.read, h.mu.halted != nil || h.gone()
	h.mu.Unlock()
	if skip || m.Sequence <= before.sequence {
		return nil
	}
	r, err := h.decode(ctx, m, before)
	if errors.Is(err, ErrLogGap) && h.passedOver(ctx, m, before) {
		h.service.shrunk.Store(true)
		signal(h.service.joined)
		return ctx.Err()
	}
	if err != nil {
		h.halt(err)
		return nil
	}
	if r == nil {
		return ctx.Err()
	}
	after := markAfter(r, m.Sequence)
	behind := h.behind(before)
	p := h.planFor(behind.lacks)
	defer p.release()
	if !h.unwanted(r, behind, before) {
		if err := h.plan(ctx, p, r, before); err != nil {
			return err
		}
	}
	if err := h.bury(ctx, p.losses); err != nil {
		return err
	}
	h.commit(p, behind, before, after)
	h.service.payloads.pass(h.partition, r.Input)
	return nil
}

// decode reads and checks a record that follows a mark; nil for one that does
// not count: of an epoch below one that was read, which is still there. nil too
// when ctx ended before that was known.
func (h *holder) decode(ctx context.Context, m bus.Message, before *mark) (*eventlog.Record, error) {
	r, err := eventlog.Decode(m.Data)
	if err != nil {
		return nil, fmt.Errorf("fanout: record at sequence %d: %w", m.Sequence, err)
	}
	switch {
	case r.BatonID != h.service.config.BatonID:
		return nil, fmt.Errorf("%w: record at sequence %d belongs to installation %x", ErrLogGap, m.Sequence, r.BatonID)
	case r.Epoch < before.epoch:
		if err := h.stillThere(ctx, before); err != nil || ctx.Err() != nil {
			return nil, err
		}
		h.log.Error("record of an old epoch skipped", "epoch", r.Epoch, "position", uint64(r.First))
		h.service.observers.skipped(h.partition, r.First)
		return nil, nil
	case r.First != before.position+1:
		return nil, fmt.Errorf("%w: sequence %d begins with position %d, want %d", ErrLogGap, m.Sequence, r.First, before.position+1)
	case before.record != 0 && start(r.Prev) != before.record:
		return nil, fmt.Errorf("%w: the record at sequence %d follows another one than was read before it: the log has lost its end and gone on", ErrLogGap, m.Sequence)
	}
	return &r, nil
}

func markAfter(r *eventlog.Record, sequence uint64) *mark {
	return &mark{
		position: r.Last(), sequence: sequence, epoch: r.Epoch, roster: r.RosterVersion, decided: r.DecidedAt,
		record: start(r.Hash),
	}
}

// start are the first bytes of a record's hash.
func start(hash [eventlog.HashSize]byte) uint64 { return binary.BigEndian.Uint64(hash[:]) }

// appSet is a set of apps: a handful, so that looking one up by scanning is
// cheapest.
type appSet []control.AppID

func (s appSet) has(app control.AppID) bool { return slices.Contains(s, app) }

// without is the set but for an app; s is of no use afterwards.
func (s appSet) without(app control.AppID) appSet {
	return slices.DeleteFunc(s, func(a control.AppID) bool { return a == app })
}

func (s appSet) lacks(app control.AppID) bool { return !s.has(app) }

// behind are the apps that do not stand at a mark or beyond: the record that
// follows is not planned for them.
func (h *holder) behind(at *mark) (set appSet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for app, pl := range h.mu.places {
		if pl.engine == nil || pl.track.read < at.position || pl.replays(at) {
			set = append(set, app)
		}
	}
	h.alone.Store(len(set) > 0 && len(set) == len(h.mu.places))
	return set
}

// unwanted reports whether all apps that there are read a record for themselves: then
// it need not be planned to know what becomes of it.
func (h *holder) unwanted(r *eventlog.Record, behind appSet, before *mark) bool {
	if !h.alone.Load() || r.RosterVersion != before.roster || changesRoster(r) {
		return false
	}
	apps, _ := h.service.today()
	for app := range apps {
		if !behind.has(app) {
			return false
		}
	}
	return true
}

func (h *holder) planFor(wanted func(control.AppID) bool) *plan {
	p, _ := freePlans.Get().(*plan)
	p.holder, p.wanted = h, wanted
	return p
}

// plan plans a record, again until it succeeds or ctx ends.
func (h *holder) plan(ctx context.Context, p *plan, r *eventlog.Record, before *mark) error {
	return h.insist(ctx, "plan a record", r.First, func() error {
		p.begin()
		return p.record(ctx, r, before.roster)
	})
}

// insist does something for a position, again until it succeeds or ctx ends.
func (h *holder) insist(ctx context.Context, step string, at control.Position, do func() error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := do()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			h.log.Warn("failed, trying again", "step", step, "position", uint64(at), "err", err)
		}
		if !sleep(ctx, jitter(pause)) {
			return ctx.Err()
		}
	}
}

// commit offers what was planned for the record between two marks to the apps
// that stand there, and moves the partition's reader. Those that were behind
// when it was planned stay behind, also when they have come up meanwhile.
func (h *holder) commit(p *plan, behind appSet, before, after *mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone() || h.mu.read != before {
		return
	}
	h.welcome(p.mail, before)
	for app, pl := range h.mu.places {
		switch {
		case pl.engine == nil: // without a callback it gets nothing
			pl.accept(nil, before, after)
		case pl.track.read < before.position:
		case behind.has(app):
			pl.engine.look() // it came up too late for this record
		case pl.track.read > after.position: // it has read further
		case pl.track.read == after.position && after.position > before.position:
		default:
			// What it does not take now it reads for itself, when there is
			// room again.
			pl.accept(p.mail.of(app), before, after)
		}
	}
	h.mu.read = after
	if after.position > before.position {
		h.mu.active = time.Now()
	}
	h.touch()
}

// welcome makes places for apps that are new in this partition: what lies before
// the mark was not for them. Called with the lock held.
func (h *holder) welcome(m mail, at *mark) {
	for i := range m {
		app := m[i].app
		if h.mu.places[app] != nil {
			continue
		}
		e, known := h.service.receiver(app, at.roster)
		if !known {
			h.service.observers.finished(Finished{App: app, Partition: h.partition, Position: at.position + 1, Outcome: OutcomeAppGone})
			continue
		}
		t := newTracker(at)
		t.read = max(t.read, h.mu.settled)
		t.upTo = t.read
		h.mu.places[app] = &place{app: app, engine: e, holder: h, track: t}
	}
}
