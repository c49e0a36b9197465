package graphapi

import (
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// The limit of custom_user_settings. Source: protocol 2.3.
const (
	menuCalls  = 10
	menuWindow = 10 * time.Minute
	// menuPersons is how many persons are remembered before the first sweep.
	menuPersons = 10_000
)

// menuLimit counts the calls about each person's own menu. It knows those of
// this node; the platform counts all of them.
type menuLimit struct {
	mu struct {
		sync.Mutex
		calls map[control.ThreadKey]*menuTimes
		// sweep is the size at which persons without recent calls are forgotten.
		sweep int
	}
}

// menuTimes are the times of the latest calls, as a ring; next is the oldest.
type menuTimes struct {
	at   [menuCalls]time.Time
	next int
}

func newMenuLimit() *menuLimit {
	l := &menuLimit{}
	l.mu.calls = map[control.ThreadKey]*menuTimes{}
	l.mu.sweep = menuPersons
	return l
}

// admit counts a call; ok is false when the limit is used up, and then wait is
// in seconds.
func (l *menuLimit) admit(person control.ThreadKey, now time.Time) (wait int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.mu.calls[person]
	if t == nil {
		l.forget(now)
		t = &menuTimes{}
		l.mu.calls[person] = t
	}
	if left := t.at[t.next].Add(menuWindow).Sub(now); left > 0 {
		return seconds(left.Milliseconds()), false
	}
	t.at[t.next] = now
	t.next = (t.next + 1) % menuCalls
	return 0, true
}

// forget makes room: those whose latest call is out of the window go.
func (l *menuLimit) forget(now time.Time) {
	if len(l.mu.calls) < l.mu.sweep {
		return
	}
	for person, t := range l.mu.calls {
		if latest := t.at[(t.next+menuCalls-1)%menuCalls]; now.Sub(latest) >= menuWindow {
			delete(l.mu.calls, person)
		}
	}
	l.mu.sweep = max(menuPersons, 2*len(l.mu.calls))
}
