package ownership

import (
	"context"
	"math"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
)

const (
	// dueBatch bounds the timers looked up at once.
	dueBatch = 256
	// maxInstant is later than every timer.
	maxInstant control.Millis = math.MaxInt64
)

// arm is the time for which the thread's timer row is to be armed, given the
// time it is armed for. A row that is armed early enough stays where it is, so
// activity moves no row; it is re-armed when it comes due too early.
func (h *holder) arm(st control.State, armed, now control.Millis) control.Millis {
	due := control.NextDue(st, nil)
	if armed > now && (due == 0 || armed <= due) {
		return armed
	}
	h.lookAt(due)
	return due
}

// lookAt makes the holder look for due timers at a time at the latest; zero is
// never.
func (h *holder) lookAt(due control.Millis) {
	if due != 0 && (h.dueAt == 0 || due < h.dueAt) {
		h.dueAt = due
	}
}

// Waits of an idle holder for what no channel announces.
const (
	workerRetry  = 5 * time.Millisecond // queued effects: is a worker free?
	doubtRetry   = time.Second          // due timers on a doubtful clock
	waitingRetry = 200 * time.Millisecond
	clockAfter   = 250 * time.Millisecond // a claim: until then commands waited for it
	longestWait  = time.Minute
)

// alarm fires when the next timer may be due, an effect may be tried or a parked
// call may have run out of time. The one who waits stops it.
func (h *holder) alarm() *time.Timer {
	wait := longestWait
	switch {
	case h.dueAt == 0 || len(h.due) > 0: // the input that due timers wait for wakes
	case h.time.doubtful():
		wait = doubtRetry
	default:
		wait = min(wait, max(h.time.until(h.dueAt), time.Millisecond))
	}
	if len(h.waiting) > 0 {
		wait = min(wait, waitingRetry)
	}
	if len(h.delayed) > 0 {
		wait = min(wait, max(h.time.until(h.delayed[0].effect.NextAt), time.Millisecond))
	}
	if len(h.todo) > 0 {
		wait = min(wait, workerRetry)
	}
	if h.time.unknown() {
		wait = min(wait, clockAfter)
	}
	if h.bell == nil {
		h.bell = time.NewTimer(wait)
	} else {
		h.bell.Reset(wait)
	}
	return h.bell
}

// decideDue decides what has come due and reports whether it decided anything.
// Input first: only when everything that the partition's inbound subject held
// when the rows were found due has been consumed, and only what was due then. What
// has come due since has its own input to wait for. Source: design, Time.
func (h *holder) decideDue(ctx context.Context, s *step) bool {
	if len(h.due) == 0 && !h.findDue(ctx, s) {
		return false
	}
	if h.consumed < h.dueNeeds || h.unread.left() {
		return false
	}
	decided := false
	for len(h.due) > 0 && !s.full() {
		row := h.due[0]
		h.due = h.due[1:]
		decided = h.decideDueThread(s, row) || decided
	}
	return decided
}

// findDue looks up the rows that are due and the input to consume before them.
func (h *holder) findDue(ctx context.Context, s *step) bool {
	if h.dueAt == 0 || h.dueAt > s.now {
		return false
	}
	if h.time.unknown() {
		h.compareClock(ctx)
	}
	if h.time.doubtful() {
		return false
	}
	rows, err := h.part.Timers(maxInstant, dueBatch)
	if err != nil {
		h.log.Error("looking up due timers", "err", err)
		return false
	}
	n := 0
	for n < len(rows) && rows[n].Due <= s.now {
		n++
	}
	if h.dueAt = 0; n < len(rows) {
		h.dueAt = rows[n].Due
	} else if n == dueBatch {
		h.dueAt = s.now
	}
	if n == 0 {
		return false
	}
	last, err := h.deps.Input.LastInbound(ctx, h.partition)
	if err != nil {
		h.log.Warn("looking up the end of the input; timers wait", "err", err)
		h.dueAt = s.now + control.Second
		return false
	}
	h.due, h.dueFound, h.dueNeeds = rows[:n], s.now, last
	return true
}

// decideDueThread decides one due thread. A row that came due early, because
// its deadline has moved since, is only re-armed; one that is there beside the
// thread's becomes that: a start or a crash left it behind.
func (h *holder) decideDueThread(s *step, row store.Timer) bool {
	page := h.snapshot.Page(row.Thread.Asset)
	t, ok := h.threads.get(row.Thread)
	if !ok || t.armed == 0 || t.armed > s.now {
		h.lookAt(t.armed)
		h.rearm(store.Move{Thread: row.Thread, Was: row.Due, Due: t.armed})
		return false
	}
	if t.armed != row.Due {
		t.armed = row.Due
		h.threads.put(row.Thread, t)
	}
	before := len(s.entries)
	if page != nil {
		s.decideAt(h.dueFound, row.Thread, page, control.Due{}, cause{})
	}
	if len(s.entries) > before {
		return true
	}
	if s.staged(row.Thread) {
		return false // the record moves the row
	}
	armed := s.now + control.Hour // the page has left the roster; it may come back
	if page != nil {
		armed = h.arm(t.state, t.armed, s.now)
	}
	h.lookAt(armed)
	h.rearm(store.Move{Thread: row.Thread, Was: t.armed, Due: armed})
	t.armed = armed
	h.threads.put(row.Thread, t)
	return false
}

func (h *holder) rearm(m store.Move) {
	if err := h.part.Rearm(m); err != nil {
		h.log.Error("re-arming a timer", "err", err)
	}
}
