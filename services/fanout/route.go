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
		aimed   uint64          // where to begin while nothing is held; 0 for not at all
		kept    passage
		came    chan struct{} // closed when a record comes; nil while nobody waits
	}
}

// start begins behind a sequence, with holders that have all that lies before.
func (r *route) start(after uint64, holders []*holder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.holders, r.mu.passed = make(map[int]*holder, len(holders)), after
	r.mu.kept.begin(after)
	for _, h := range holders {
		if !h.gone() { // since the list was made
			r.mu.holders[h.partition] = h
		}
	}
}

// stop hands nothing to anybody any more.
func (r *route) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders != nil {
		r.mu.holders, r.mu.aimed = nil, r.mu.passed
	}
}

// aim has the reader begin behind a sequence even if nothing is held.
func (r *route) aim(after uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders == nil {
		r.mu.aimed = after
	}
}

// aimedAt is where to begin while nothing is held; 0 for not at all.
func (r *route) aimedAt() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.aimed
}

// await blocks until the reader has come to a sequence, or ctx ends.
func (r *route) await(ctx context.Context, sequence uint64) error {
	for {
		r.mu.Lock()
		there := r.mu.holders != nil && r.mu.passed >= sequence
		if r.mu.came == nil {
			r.mu.came = make(chan struct{})
		}
		came := r.mu.came
		r.mu.Unlock()
		if there {
			return nil
		}
		select {
		case <-came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
	if r.mu.came != nil {
		close(r.mu.came)
		r.mu.came = nil
	}
	h := r.mu.holders[m.Partition]
	if h == nil {
		r.mu.kept.keep(m)
	}
	return h
}

// seam is where a holder joins the reader.
type seam struct {
	after   uint64        // it gets what lies behind
	records []bus.Message // of it, before
	whole   bool          // there are no others behind its mark
}

// add has a holder that stands at a sequence get what comes; false while nothing
// reads.
func (r *route) add(h *holder, at uint64) (s seam, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders == nil {
		return s, false
	}
	s.after = r.mu.passed
	s.records, s.whole = r.behind(h.partition, at)
	r.mu.holders[h.partition] = h
	return s, true
}

// whole reports whether all that the reader has come by of a partition behind a
// sequence is kept; false while nothing reads.
func (r *route) whole(p int, sequence uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders == nil {
		return false
	}
	_, whole := r.behind(p, sequence)
	return whole
}

// behind are a partition's records behind a sequence as far as they are kept. What
// came while it was held, though by a holder that is deposed since, is not. Called
// with the lock held.
func (r *route) behind(p int, sequence uint64) (records []bus.Message, whole bool) {
	if r.mu.holders[p] != nil {
		return nil, false
	}
	return r.mu.kept.behind(p, sequence)
}

// saw is a partition's record at a sequence, if the reader came by it a moment ago.
func (r *route) saw(p int, sequence uint64) (bus.Message, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders == nil {
		return bus.Message{}, false
	}
	return r.mu.kept.saw(p, sequence)
}

// remove ends that.
func (r *route) remove(h *holder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.holders[h.partition] == h {
		delete(r.mu.holders, h.partition)
		r.mu.kept.left[h.partition] = r.mu.passed
	}
}

// joinReader brings a claimed partition to where the reader of the log is, which
// goes on with it from there: with what the reader has kept, or by questions. It
// reports whether it could: when nothing reads, or much lies in between, the reader
// must begin anew.
func (h *holder) joinReader(ctx context.Context) bool {
	r := &h.service.route
	if !r.open() || !r.whole(h.partition, h.readerAt().sequence) && !h.readUpTo(ctx, ^uint64(0), nearRecords) {
		return false
	}
	h.following.Lock() // what the reader brings meanwhile waits
	defer h.following.Unlock()
	s, ok := r.add(h, h.readerAt().sequence)
	switch {
	case !ok:
		return false
	case s.whole && h.followAll(ctx, s.records):
		return true
	case !s.whole && h.readUpTo(ctx, s.after, lastRecords):
		return true
	}
	r.remove(h)
	return false
}

// followAll follows records that the reader has kept; false when ctx ended.
func (h *holder) followAll(ctx context.Context, records []bus.Message) bool {
	for _, m := range records {
		if h.followNext(ctx, m) != nil {
			return false
		}
	}
	return true
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
