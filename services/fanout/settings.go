package fanout

import (
	"time"

	"golang.org/x/time/rate"
)

// configure makes the app's settings of today those of the engine; transport is
// nil to keep the one it has. A changed callback or token closes the engine
// until the handshake has passed again.
func (e *engine) configure(app App, transport Transport) {
	app = app.settled()
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.mu.app
	e.mu.app = app
	e.mu.pace.resize(app.MaxInFlight)
	if old.MaxPerSecond != app.MaxPerSecond {
		e.mu.rate = rateOf(app)
	}
	if transport != nil {
		e.mu.transport.CloseIdleConnections()
		e.mu.transport = transport
	}
	if old.Callback != app.Callback || old.VerifyToken != app.VerifyToken {
		e.mu.verified, e.mu.breaker, e.mu.until = false, breaker{}, time.Time{}
		signal(e.knock)
	}
	e.pump()
}

// rateOf is the limit of an app's POSTs; nil for none. What was not used for a
// second may be used at once.
func rateOf(app App) *rate.Limiter {
	if app.MaxPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(app.MaxPerSecond), app.MaxPerSecond)
}

// called tells an engine that waited for a socket to ask again.
func (e *engine) called() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.asked = false
	e.pump()
}

// signal wakes whoever waits on a channel of capacity one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// settings are the app's settings of today.
func (e *engine) settings() App {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.app
}

// enable opens the engine: the handshake passed with these settings. A handshake
// with a callback that is no longer the app's opens nothing.
func (e *engine) enable(app App) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.app.Callback == app.Callback && e.mu.app.VerifyToken == app.VerifyToken {
		e.mu.verified = true
	}
	e.pump()
}
