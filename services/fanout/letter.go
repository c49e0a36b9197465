package fanout

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// letter is one delivery waiting in an engine: one event for one app. Its
// element is shared with the letters of other apps and never changed.
type letter struct {
	from      origin
	round     uint64 // of its origin when it was offered
	partition int
	position  control.Position
	thread    control.ThreadKey
	object    control.Object
	channel   control.Channel
	at        control.Millis // of the decision; entry.time
	element   []byte
	// Set once it failed; guarded by the engine.
	attempts int
	first    time.Time
	next     time.Time // of a letter resumed from a cursor: not before
	again    bool      // a dead letter that an operator has sent again
}

// letterOverhead is what a waiting letter costs beside its element, in bytes:
// itself, its share of the lane, its entry in the tracker.
const letterOverhead = 256

func (l *letter) size() int { return len(l.element) + letterOverhead }

// class tells letters that may share a POST from those that may not: one
// object, one channel.
func (l *letter) class() int { return int(l.object)<<1 | int(l.channel) }

const classes = 4

// outdated reports whether a letter on the standby channel is older than its app
// wants; within is 0 for any age.
func (l *letter) outdated(within time.Duration, now time.Time) bool {
	return within > 0 && l.channel == control.ChannelStandby && now.Sub(time.UnixMilli(int64(l.at))) > within
}

// origin is the place that a letter came from: an app's place in a partition.
// Methods are called without the engine's lock, except mayStart.
type origin interface {
	// mayStart reports whether a POST may start now. Called under the
	// engine's lock; must not block.
	mayStart() bool
	// renew asks for the right to start; the engine's wake is called when it
	// is given. Called under the engine's lock; must not block.
	renew()
	// finished tells that nothing more is done about some of its letters.
	finished(letters ...*letter)
	// failed tells the letter's retry clock after a failure.
	failed(l *letter, f failure)
}

// Outcome names how a delivery ended, in metrics and dead letters.
type Outcome string

// The outcomes.
const (
	// OutcomeDelivered is a 2xx.
	OutcomeDelivered Outcome = "delivered"
	// OutcomeExhausted is a letter given up after App.RetryFor.
	OutcomeExhausted Outcome = "exhausted"
	// OutcomeRejected is a letter that the app refused for good (4xx).
	OutcomeRejected Outcome = "rejected"
	// OutcomeRetention is a letter whose payload was trimmed before it could
	// be delivered.
	OutcomeRetention Outcome = "retention"
	// OutcomeUnreadable is a letter whose payload cannot be rendered.
	OutcomeUnreadable Outcome = "unreadable"
	// OutcomeOtherPayload is a letter in the place of whose payload BATON_IN has
	// another event: it has lost its end and grown again.
	OutcomeOtherPayload Outcome = "other_payload"
	// OutcomeOutdated is a letter on the standby channel that was older than
	// App.StandbyWithin before it could be posted; it is no dead letter.
	OutcomeOutdated Outcome = "outdated"
	// OutcomeAppGone is a letter for an app that no longer exists.
	OutcomeAppGone Outcome = "app_gone"
)
