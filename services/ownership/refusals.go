package ownership

import (
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// maxRefusals bounds the different refusals remembered per partition; more are
// counted by the metrics alone.
const maxRefusals = 4096

// refusalLog folds equal refusals into one event a minute, so that a bot in a
// loop does not fill the disk. Refusals never force a record. What a record
// costs here is what it logs, however many refusals are remembered.
type refusalLog struct {
	open map[refusalKey]*refusalCount
	// fresh are to be logged with the next record; cooling were logged and wait
	// for their minute, the earliest first.
	fresh, cooling []*refusalCount
}

type refusalKey struct {
	thread   control.ThreadKey
	app      control.AppID
	verb     control.Verb
	reason   control.Reason
	revision uint32
}

type refusalCount struct {
	key    refusalKey
	last   control.Refusal
	count  uint32
	nextAt control.Millis // not logged again before
}

func newRefusalLog() refusalLog { return refusalLog{open: map[refusalKey]*refusalCount{}} }

// note counts a refusal on a thread in state st. The log says who had control
// even when the refused app may not know it.
func (l *refusalLog) note(key control.ThreadKey, app control.AppID, r control.Refusal, st control.State) {
	k := refusalKey{key, app, r.Verb, r.Reason, st.Revision}
	c := l.open[k]
	if c == nil {
		if len(l.open) >= maxRefusals {
			return
		}
		c = &refusalCount{key: k}
		l.open[k] = c
		l.fresh = append(l.fresh, c)
	}
	c.count++
	r.Owner, r.Since, r.Until = st.Owner, st.Since, st.ExpiresAt
	c.last = r
}

// flush stages the refusals that may be logged, when the step logs anything at
// all, and forgets those that have been quiet for their minute.
func (l *refusalLog) flush(s *step) {
	if len(s.entries) == 0 {
		return
	}
	for len(l.fresh) > 0 && !s.full() {
		l.log(s, l.fresh[0])
		l.fresh = l.fresh[1:]
	}
	for len(l.cooling) > 0 && l.cooling[0].nextAt <= s.now && !s.full() {
		c := l.cooling[0]
		l.cooling = l.cooling[1:]
		if c.count == 0 {
			delete(l.open, c.key)
			continue
		}
		l.log(s, c)
	}
}

// log stages one refusal with how often it happened.
func (l *refusalLog) log(s *step, c *refusalCount) {
	s.add(eventlog.Entry{Thread: c.key.thread, Event: control.Refused{
		App: c.key.app, Verb: c.key.verb, Reason: c.key.reason, Owner: c.last.Owner, Since: c.last.Since, Until: c.last.Until,
		Next: c.last.Next, At: s.now, Count: c.count,
	}}, control.State{})
	c.count, c.nextAt = 0, s.now+control.Minute
	l.cooling = append(l.cooling, c)
}
