package fanout

import (
	"context"
	"reflect"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// watchRoster follows the roster until ctx ends.
func (s *Service) watchRoster(ctx context.Context) {
	for {
		changed := s.deps.Rosters.Changed()
		s.applyRoster(s.deps.Rosters.Current())
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// applyRoster makes a version of the roster today's: engines for new apps, new
// settings for those that stay, an end for those that are gone.
func (s *Service) applyRoster(snapshot *roster.Snapshot) {
	gone, ok := s.takeRoster(snapshot)
	if !ok {
		return
	}
	for _, h := range s.allHolders() {
		h.attach()
	}
	for _, e := range gone {
		s.crew.Go(func() { e.end() })
	}
}

// takeRoster changes the set of engines and returns those without an app. ok is
// false for a version that is not news.
func (s *Service) takeRoster(snapshot *roster.Snapshot) (gone []*engine, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if snapshot == nil || snapshot.Version() <= s.mu.version && s.mu.version > 0 {
		return nil, false
	}
	s.mu.version = snapshot.Version()
	known := make(map[control.AppID]App)
	for _, id := range snapshot.Apps() {
		a, _ := snapshot.App(id)
		app := appOf(a)
		known[app.ID] = app
		if app.Callback != "" {
			s.receive(app)
		}
	}
	for id, e := range s.mu.engines {
		if known[id].Callback == "" {
			delete(s.mu.engines, id)
			s.mu.closers[id]()
			delete(s.mu.closers, id)
			gone = append(gone, e)
		}
	}
	s.mu.known = known
	return gone, true
}

// receive starts or changes the engine of an app. Called with the lock held.
func (s *Service) receive(app App) {
	e := s.mu.engines[app.ID]
	if e != nil {
		old := s.mu.known[app.ID]
		if reflect.DeepEqual(old, app) {
			return
		}
		var transport Transport
		if old.MaxInFlight != app.MaxInFlight || !reflect.DeepEqual(old.Credentials, app.Credentials) {
			transport = s.transport(app)
		}
		e.configure(app, transport)
		return
	}
	e = newEngine(engineParts{
		app: app, transport: s.transport(app), log: s.log, observers: s.observers, agent: s.config.UserAgent,
		bounds: bounds{
			letters: s.config.AppLetters, bytes: s.config.AppBytes, floor: s.config.AppBytes / 16, shared: s.memory,
		},
		sockets: s.sockets, throttle: &s.throttle, journal: s.deps.Journal, onPause: s.pauseByApp,
	})
	ctx, cancel := context.WithCancel(s.work)
	s.mu.engines[app.ID], s.mu.closers[app.ID] = e, cancel
	e.look()
	signal(e.knock)
	s.crew.Go(func() { e.attend(ctx) })
	s.crew.Go(func() { s.catchUp(ctx, e) })
}

// transport makes an app's transport: one connection for each POST that may be
// under way, one for the handshake.
func (s *Service) transport(app App) Transport {
	return s.deps.Transport(app, app.settled().MaxInFlight+1)
}

// end stops an engine whose app is gone: POSTs under way may end, nothing more
// is posted.
func (e *engine) end() {
	ctx, cancel := context.WithTimeout(context.Background(), e.settings().Timeout+time.Second)
	defer cancel()
	e.drain(ctx)
	e.release()
}
