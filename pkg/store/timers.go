package store

import (
	"fmt"
	"math"

	"github.com/baton-router/baton/pkg/control"
)

// The bounds of time.
const (
	minInstant control.Millis = math.MinInt64
	maxInstant control.Millis = math.MaxInt64
)

// Timer is a row of the timers: the thread is to be looked at when it is due.
type Timer struct {
	Thread control.ThreadKey
	Due    control.Millis
}

// Move re-arms a thread's timer, apart from any record: from the row that was
// due at Was to one due at Due; zero for no row.
type Move struct {
	Thread   control.ThreadKey
	Was, Due control.Millis
}

// Rearm moves timers. All or nothing, visible on return, not durable before
// Sync; a loss of the moves leaves the rows as they were, which come due early.
func (p *Partition) Rearm(moves ...Move) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	b, err := p.collect(false)
	if err != nil {
		return err
	}
	for _, m := range moves {
		b.timer(m.Thread, m.Was, m.Due)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.lower(b.floor)
	return nil
}

// Timers returns the rows due at upTo or before, earliest first, at most limit;
// no bound when limit is zero or less.
func (p *Partition) Timers(upTo control.Millis, limit int) ([]Timer, error) {
	var due []Timer
	floor, lowered := p.floor()
	if err := p.flush(); err != nil {
		return nil, err
	}
	from, to := instant(p.key(tableTimers), floor), after(instant(p.key(tableTimers), upTo))
	err := scan(p.db, from, to, func(k, _ []byte) (bool, error) {
		k, err := tail(k, 8+16)
		if err != nil {
			return false, err
		}
		due = append(due, Timer{Due: parseInstant(k), Thread: parseThread(k[8:])})
		return limit <= 0 || len(due) < limit, nil
	})
	if err != nil {
		return nil, fmt.Errorf("store: timers of partition %d: %w", p.number, err)
	}
	if len(due) > 0 {
		p.raiseFloor(lowered, due[0].Due)
	} else {
		p.raiseFloor(lowered, upTo)
	}
	return due, nil
}

// The floor keeps a scan for timers from walking over the tombstones of the
// rows that were moved since the last compaction.

func (p *Partition) floor() (floor control.Millis, lowered uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.floor, p.mu.lowered
}

// lower lowers the floor for a timer that was armed.
func (m *partitionMemory) lower(to control.Millis) {
	m.floor = min(m.floor, to)
	m.lowered++
}

// raiseFloor raises the floor, unless timers were armed since it was read.
func (p *Partition) raiseFloor(lowered uint64, to control.Millis) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.lowered == lowered {
		p.mu.floor = max(p.mu.floor, to)
	}
}
