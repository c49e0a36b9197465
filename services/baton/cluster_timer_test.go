package main

import (
	"context"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// On the page of the timers control lasts for so long; nobody but people writes
// there, each for a moment.
const (
	timerPage   = 100200300400501
	timerExpiry = 3 * time.Second
)

// timerSettings adds the page to the list of pages that ends a configuration.
func timerSettings(b *configText) {
	b.line(1, "- id: %q", strconv.Itoa(timerPage))
	b.line(2, "name: timers")
	b.line(2, "access_token: timers-token")
	b.line(2, "routing: {mode: handover, primary: %q, expiry: %q}", strconv.FormatUint(crashApps()[0], 10), timerExpiry.String())
	b.line(2, "apps:")
	for _, app := range crashApps() {
		b.line(3, "- {app: %q, access_token: \"timers-%d\", tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}",
			strconv.FormatUint(app, 10), app)
	}
}

// timers lets people write, once or twice, and go away.
func (l *load) timers(ctx context.Context) {
	for person := uint64(9300000000000000); ctx.Err() == nil; person++ {
		if l.messageTo(ctx, timerPage, person, 1) && person%3 == 0 {
			rest(ctx, timerExpiry/3)
			l.messageTo(ctx, timerPage, person, 2)
		}
		rest(ctx, 500*time.Millisecond)
	}
}

// checkTimers: what lapsed did so once for each time that control was gained, at
// its deadline, and nothing is left.
func (w *world) checkTimers(r *records) {
	w.t.Helper()
	states, fired := map[control.ThreadKey]control.State{}, 0
	for i := range r.facts {
		f := &r.facts[i]
		if !f.Evolves() {
			continue
		}
		st := states[f.Thread]
		if e, ok := f.Event.(control.Expired); ok {
			fired++
			if st.Owner == 0 || st.ExpiresAt != e.At {
				w.t.Errorf("%s: a timer fired for %d, the thread's owner was %s until %d", f.id(), e.At, st.Owner, st.ExpiresAt)
			}
		}
		states[f.Thread] = control.Evolve(st, f.Event)
	}
	for key, st := range states {
		if key.Asset == timerPage && st.Owner != 0 {
			w.t.Errorf("thread %d of the timers' page is never given back", key.Person)
		}
	}
	w.t.Logf("%d timers fired once", fired)
}
