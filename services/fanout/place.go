package fanout

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// place is an app's place in a partition: the origin of its letters. All but
// the methods of origin is guarded by the holder's lock.
type place struct {
	app    control.AppID
	engine *engine
	holder *holder
	// round counts the moves by hand (rewind, skip); letters of an older
	// round no longer count.
	round       uint64
	track       tracker
	paused      bool
	pauseReason string
	// limited says that the place stopped reading because of maxOpenPerApp or
	// maxOpenPerPartition.
	limited bool
	// again are the positions of dead letters that are delivered again, each
	// with the inRound in which it was offered, 0 for not yet.
	again map[control.Position]uint64
	// unread is when the oldest event that it could not take was decided; 0
	// when that is not known.
	unread control.Millis
	// replayUntil: up to this position the app is planned as it is today; 0
	// for not.
	replayUntil control.Position
}

// replays reports whether what follows a mark is planned as the app is today.
func (pl *place) replays(at *mark) bool { return at.position < pl.replayUntil }

var _ origin = (*place)(nil)

func (pl *place) mayStart() bool { return pl.holder.mayStart() }

func (pl *place) renew() { pl.holder.wantRenewal() }

func (pl *place) finished(letters ...*letter) {
	h := pl.holder
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := false
	for _, l := range letters {
		switch {
		case l.round != pl.round:
		case l.again:
			delete(pl.again, l.position)
			ended = true
		case pl.track.finish(l.position):
			h.mu.open--
			ended = true
		}
	}
	if !ended {
		return
	}
	h.mu.active = time.Now()
	h.touch()
	if pl.limited && pl.track.unfinished() <= maxOpenPerApp/2 && h.mu.open <= maxOpenPerPartition/2 {
		pl.limited = false
		pl.engine.look()
	}
}

func (pl *place) failed(l *letter, f failure) {
	h := pl.holder
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.round != pl.round || l.again { // its clock begins anew after a restart
		return
	}
	pl.track.fail(l.position, f)
	h.touch()
}

// behind reports whether the app must read for itself to catch up with the
// partition's reader.
func (pl *place) behind() bool { return pl.track.read < pl.holder.mu.read.position }

// accept offers the letters of one record, in order, and notes what was taken.
// before and after are the marks around the record. The letters are the place's
// from then on. False when not all were taken.
func (pl *place) accept(letters []letter, before, after *mark) bool {
	had := pl.track.unfinished()
	defer func() { pl.holder.mu.open += pl.track.unfinished() - had }()
	if pl.engine == nil { // the app has no callback today
		pl.track.advance(after.position, after)
		return true
	}
	wanted := pl.wanted(letters)
	defer clear(wanted)
	allowed := pl.allowed(wanted)
	n := pl.engine.offer(wanted[:allowed])
	pl.limited = n == allowed && allowed < len(wanted)
	for _, l := range wanted[:n] {
		pl.track.offered(l.position, before)
	}
	if n == len(wanted) {
		pl.track.advance(after.position, after)
		return true
	}
	pl.track.advance(wanted[n].position-1, before)
	pl.unread = after.decided
	return false
}

// wanted are the letters that the app does not have yet, addressed to it; good
// until the next call for the partition.
func (pl *place) wanted(letters []letter) []*letter {
	wanted := pl.holder.mu.wanted[:0]
	for i := range letters {
		l := &letters[i]
		if !pl.track.wants(l.position) {
			continue
		}
		l.from, l.round = pl, pl.round
		if f, failing := pl.track.failing[l.position]; failing {
			l.attempts, l.first, l.next = f.attempts, f.first, f.next
		}
		wanted = append(wanted, l)
	}
	pl.holder.mu.wanted = wanted
	return wanted
}

// allowed is how many of the letters the cursor has room for. What a cursor
// already names is not new to it.
func (pl *place) allowed(letters []*letter) int {
	room := min(maxOpenPerApp-pl.track.unfinished(), maxOpenPerPartition-pl.holder.mu.open)
	for i, l := range letters {
		if l.position <= pl.track.upTo {
			continue
		}
		if room--; room < 0 {
			return i
		}
	}
	return len(letters)
}
