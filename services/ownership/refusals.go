package ownership

import (
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// maxRefusals bounds the different refusals remembered per partition; more are
// counted by the metrics alone.
const maxRefusals = 4096

// refusalLog folds equal refusals into one event a minute, so that a bot in a
// loop does not fill the disk. Refusals never force a record.
type refusalLog struct {
	open map[refusalKey]*refusalCount
}

type refusalKey struct {
	thread   control.ThreadKey
	app      control.AppID
	verb     control.Verb
	reason   control.Reason
	revision uint32
}

type refusalCount struct {
	last   control.Refusal
	count  uint32
	nextAt control.Millis // not logged again before
}

func newRefusalLog() refusalLog { return refusalLog{open: map[refusalKey]*refusalCount{}} }

// note counts a refusal.
func (l refusalLog) note(key control.ThreadKey, app control.AppID, r control.Refusal, revision uint32, now control.Millis) {
	k := refusalKey{key, app, r.Verb, r.Reason, revision}
	c := l.open[k]
	if c == nil {
		if len(l.open) >= maxRefusals {
			return
		}
		c = &refusalCount{nextAt: now}
		l.open[k] = c
	}
	c.count++
	c.last = r
}

// flush stages the refusals that may be logged, when the step logs anything at
// all, and forgets those that have been quiet for their minute.
func (l refusalLog) flush(s *step) {
	if len(s.entries) == 0 {
		return
	}
	for k, c := range l.open {
		if c.nextAt > s.now || s.full() {
			continue
		}
		if c.count == 0 {
			delete(l.open, k)
			continue
		}
		s.add(eventlog.Entry{Thread: k.thread, Event: control.Refused{
			App: k.app, Verb: k.verb, Reason: k.reason, Owner: c.last.Owner, Since: c.last.Since, Until: c.last.Until, Next: c.last.Next,
			At: s.now, Count: c.count,
		}}, control.State{})
		c.count, c.nextAt = 0, s.now+control.Minute
	}
}
