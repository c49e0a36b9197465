package fanout

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
)

// ErrCursor is returned for a stored cursor that cannot be used: it is damaged,
// or belongs to the streams of another installation.
var ErrCursor = errors.New("fanout: the stored cursor cannot be used")

// decodeCursor reads a stored cursor; none is the empty one.
func decodeCursor(data []byte, batonID [16]byte) (*cursorv1.Cursor, error) {
	c := &cursorv1.Cursor{}
	if len(data) == 0 {
		return c, nil
	}
	if err := proto.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCursor, err)
	}
	if !bytes.Equal(c.GetBatonId(), batonID[:]) {
		return nil, fmt.Errorf("%w: it belongs to installation %x, the streams to %x", ErrCursor, c.GetBatonId(), batonID)
	}
	return c, nil
}

func encodeMark(m *mark) *cursorv1.Mark {
	return &cursorv1.Mark{
		Position: uint64(m.position), Sequence: m.sequence, LogEpoch: m.epoch, RosterVersion: m.roster,
		DecidedAtMs: int64(m.decided), Record: m.record,
	}
}

func decodeMark(m *cursorv1.Mark) *mark {
	return &mark{
		position: control.Position(m.GetPosition()), sequence: m.GetSequence(), epoch: m.GetLogEpoch(),
		roster: m.GetRosterVersion(), decided: control.Millis(m.GetDecidedAtMs()), record: m.GetRecord(),
	}
}

// encodeTracker writes an app's place; clocks is how many retry clocks may still
// be written.
func encodeTracker(app control.AppID, t *tracker, clocks int) *cursorv1.App {
	positions := t.undelivered(make([]control.Position, 0, t.unfinished()))
	a := &cursorv1.App{
		App: uint64(app), Watermark: uint64(t.watermark()), Mark: encodeMark(t.from()), Read: uint64(t.known()),
		Undelivered: make([]uint64, len(positions)),
	}
	last := control.Position(a.GetWatermark())
	for i, p := range positions {
		a.Undelivered[i] = uint64(p - last)
		last = p
		if f, failing := t.failing[p]; failing && len(a.GetFailing()) < clocks {
			a.Failing = append(a.Failing, &cursorv1.Failure{
				Position: uint64(p), Attempts: uint32(min(f.attempts, 1<<30)),
				FirstMs: f.first.UnixMilli(), NextMs: f.next.UnixMilli(),
			})
		}
	}
	return a
}

// decodeTracker reads an app's place back: reading goes on at its mark, and what
// is neither owed nor above the read position is finished.
func decodeTracker(a *cursorv1.App) (tracker, error) {
	t := newTracker(decodeMark(a.GetMark()))
	// The mark lies before the record of the first undelivered event, which
	// may hold finished ones below it.
	t.read = max(t.read, control.Position(a.GetWatermark()))
	t.upTo = max(t.read, control.Position(a.GetRead()))
	p := control.Position(a.GetWatermark())
	for _, d := range a.GetUndelivered() {
		next := p + control.Position(d)
		if d == 0 || next < p || next > t.upTo {
			return t, fmt.Errorf("%w: app %d: undelivered position %d is not within %d and %d", ErrCursor, a.GetApp(), next, p, t.upTo)
		}
		p = next
		t.owed = append(t.owed, p)
	}
	for _, f := range a.GetFailing() {
		t.failing[control.Position(f.GetPosition())] = failure{
			attempts: int(f.GetAttempts()), first: time.UnixMilli(f.GetFirstMs()), next: time.UnixMilli(f.GetNextMs()),
		}
	}
	return t, nil
}

// encodeCursor writes a whole cursor. The apps' trackers must not change
// meanwhile.
func encodeCursor(c *cursorv1.Cursor, places map[control.AppID]*place) []byte {
	clocks := maxFailures
	for app, pl := range places {
		a := encodeTracker(app, &pl.track, clocks)
		a.Paused, a.PauseReason, a.Resent = pl.paused, pl.pauseReason, pl.resent()
		if until := uint64(pl.replayUntil); a.GetWatermark() < until {
			a.ReplayUntil = until
		}
		clocks -= len(a.GetFailing())
		c.Apps = append(c.Apps, a)
	}
	slices.SortFunc(c.GetApps(), func(a, b *cursorv1.App) int { return cmp.Compare(a.GetApp(), b.GetApp()) })
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		panic("fanout: a cursor does not encode: " + err.Error()) //nolint:forbidigo // its fields are numbers and valid text
	}
	return data
}
