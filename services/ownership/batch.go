package ownership

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// share is what one partition contributes to a batch.
type share struct {
	partition int
	epoch     uint64
	seq       uint64
	to        topicCursor
}

// cut takes the waiting changes of the partitions, up to a batch. A change that
// cannot be made into a message now ends its partition's share; the error says
// why, and what was taken is good.
func (t *topic) cut(ctx context.Context) (shares []share, messages []bus.ControlMessage, err error) {
	var faults []error
	for p := range t.inTurn() {
		room := topicBatch - len(shares) - len(messages)
		t.mu.Lock()
		part := t.mu.parts[p]
		t.mu.Unlock()
		if !part.claimed || len(part.pending) == 0 || room <= 0 {
			continue
		}
		sh := share{partition: p, epoch: part.epoch, seq: part.seq, to: part.cursor}
		taken := 0
		for fits := true; fits && taken < len(part.pending); {
			var more []bus.ControlMessage
			more, fits, err = t.take(ctx, part.pending[taken], &sh, room)
			if err != nil {
				faults = append(faults, fmt.Errorf("partition %d after position %d: %w", p, sh.to.Position, err))
			}
			if messages, room = append(messages, more...), room-len(more); fits {
				taken++
			}
		}
		t.update(p, part.epoch, func(part *topicPart) { t.drop(part, taken) })
		if sh.to.Position != part.cursor.Position {
			shares = append(shares, sh)
		}
	}
	return shares, messages, errors.Join(faults...)
}

// take makes messages of a record's changes after the share's cursor, which it
// moves. fits is false when it stopped before the record's end.
func (t *topic) take(ctx context.Context, rec committed, sh *share, room int) (messages []bus.ControlMessage, fits bool, err error) {
	nth := -1
	for i := range rec.Entries {
		if !eventlog.OnTopic(rec.Entries[i].Event) {
			continue
		}
		nth++
		position := rec.First + control.Position(i)
		if position <= sh.to.Position {
			continue
		}
		if len(messages) == room {
			return messages, false, nil
		}
		m, err := t.message(ctx, rec, position, nth)
		if err != nil {
			return messages, false, err
		}
		messages = append(messages, m)
		sh.to = topicCursor{Position: position, Epoch: sh.epoch}
	}
	return messages, true, nil
}

// message is the topic's form of the entry at a position, the nth of its record
// that goes to the topic.
func (t *topic) message(ctx context.Context, rec committed, position control.Position, nth int) (bus.ControlMessage, error) {
	entry, _ := rec.At(position)
	object, err := t.object(ctx, rec.RosterVersion, entry.Thread.Asset)
	if err != nil {
		return bus.ControlMessage{}, err
	}
	change, ok := eventlog.ControlChange(rec.Record, position, object, rec.after[nth])
	if !ok {
		return bus.ControlMessage{}, fmt.Errorf("not a change: %T", entry.Event)
	}
	m, err := eventlog.Topic(change, t.s.cfg.Encoding)
	if err != nil {
		return bus.ControlMessage{}, err
	}
	return bus.ControlMessage{Subject: m.Subject, ID: m.ID, Header: m.Header, Data: m.Data}, nil
}

// object is the kind of an asset, also of one that has left the roster since.
func (t *topic) object(ctx context.Context, version, asset uint64) (control.Object, error) {
	page := t.s.deps.Rosters.Current().Page(asset)
	if page == nil {
		then, err := t.s.deps.Rosters.At(ctx, version)
		if err != nil {
			return 0, fmt.Errorf("roster version %d: %w", version, err)
		}
		if page = then.Page(asset); page == nil {
			return 0, nil
		}
	}
	return page.Object, nil
}

// pastStates folds the states of threads along records read from the store. Of
// events that say everything themselves it reads nothing, of other threads the
// history once.
type pastStates struct {
	part  *store.Partition
	known map[control.ThreadKey]control.State
}

// after returns the states after each of the record's entries that go to the
// topic, the zero State after one that needs none. Records must come in order.
func (p *pastStates) after(rec *eventlog.Record) (states []control.State, err error) {
	for i := range rec.Entries {
		e := &rec.Entries[i]
		st, known := p.known[e.Thread]
		onTopic := eventlog.OnTopic(e.Event)
		switch at := rec.First + control.Position(i); {
		case e.Evolves() && known:
			st = control.Evolve(st, e.Event)
			p.known[e.Thread] = st
		case !onTopic || !eventlog.NeedsState(e.Event):
		case e.Evolves():
			if st, err = p.at(e.Thread, at, e.Event); err != nil {
				return nil, err
			}
			p.known[e.Thread] = st
		}
		if onTopic {
			states = append(states, st)
		}
	}
	return states, nil
}

// at is a thread's state after its event e at a position. A history is read
// only when neither the thread begins nor ends with the event.
func (p *pastStates) at(thread control.ThreadKey, at control.Position, e control.Event) (control.State, error) {
	if before, err := p.part.History(thread, at, 1); err != nil || len(before) == 0 {
		return control.Evolve(control.State{}, e), err
	}
	now, _, err := p.part.State(thread) // with the event; before asking for later ones
	if err != nil {
		return now, err
	}
	if last, err := p.part.History(thread, 0, 1); err != nil || last[0] == at {
		return now, err
	}
	past, err := p.part.StateAt(thread, at)
	return past.State, err
}
