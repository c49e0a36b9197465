package fanout

import (
	"context"
	"errors"
	"sync"

	"github.com/baton-router/baton/pkg/bus"
)

// How many records a partition that was just claimed reads one by one, before
// and after the reader of the log knows of it. One that lacks more has the
// reader begin anew.
const (
	nearRecords = 32
	lastRecords = 8
)

// route is where the reader of the log is, and to whom it hands records. Safe for
// concurrent use.
type route struct {
	mu struct {
		sync.Mutex
		holders map[int]*holder // nil while nothing reads
		passed  uint64          // sequence that the reader has come to
	}
}

// start begins behind a sequence, with holders that have all that lies before.
func (r *route) start(after uint64, holders []*holder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.holders, r.mu.passed = make(map[int]*holder, len(holders)), after
	for _, h := range holders {
		r.mu.holders[h.partition] = h
	}
}

// stop hands nothing to anybody any more.
func (r *route) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.holders = nil
}

// open reports whether anything reads.
func (r *route) open() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.holders != nil
}

// come notes that the reader has come to a record; it returns who gets it, nil
// for nobody.
func (r *route) come(m bus.Message) *holder {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.passed = m.Sequence
	return r.mu.holders[m.Partition]
}

// add has a holder get what lies behind the sequence returned; false while
// nothing reads.
func (r *route) add(h *holder) (after uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders == nil {
		return 0, false
	}
	r.mu.holders[h.partition] = h
	return r.mu.passed, true
}

// remove ends that.
func (r *route) remove(h *holder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders[h.partition] == h {
		delete(r.mu.holders, h.partition)
	}
}

// joinReader brings a claimed partition to where the reader of the log is, which
// goes on with it from there. It reports whether it could: when nothing reads, or
// much lies in between, the reader must begin anew.
func (h *holder) joinReader(ctx context.Context) bool {
	if !h.service.route.open() || !h.readUpTo(ctx, ^uint64(0), nearRecords) {
		return false
	}
	h.following.Lock() // what the reader brings meanwhile waits
	defer h.following.Unlock()
	after, ok := h.service.route.add(h)
	if ok && h.readUpTo(ctx, after, lastRecords) {
		return true
	}
	h.service.route.remove(h)
	return false
}

// readUpTo follows the partition's records up to a sequence, one by one; false
// when there are more than so many, or they cannot be read.
func (h *holder) readUpTo(ctx context.Context, sequence uint64, most int) bool {
	for range most {
		before := h.readerAt()
		if before.sequence >= sequence {
			return true
		}
		m, err := h.service.deps.Log.NextLog(ctx, h.partition, before.sequence)
		if errors.Is(err, bus.ErrNoMessage) || err == nil && m.Sequence > sequence {
			return true
		}
		if err != nil || h.followNext(ctx, m) != nil || h.readerAt() == before {
			return false
		}
	}
	return false
}
