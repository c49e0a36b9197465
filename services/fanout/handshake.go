package fanout

import (
	"context"
	"time"

	"github.com/baton-router/baton/pkg/egress"
)

const (
	handshakePauseMin = time.Second
	handshakePauseMax = time.Minute
)

// attend performs the handshake whenever it is asked for (knock), again and
// again until it passes: events wait in their order meanwhile. It returns when
// ctx ends.
func (e *engine) attend(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.knock:
			e.introduce(ctx)
		}
	}
}

// introduce repeats the handshake until it passes or ctx ends.
func (e *engine) introduce(ctx context.Context) {
	pause := handshakePauseMin
	for {
		app := e.settings()
		err := e.challenge(ctx, app)
		if ctx.Err() != nil {
			return
		}
		e.observers.handshake(e.id, err)
		if err == nil {
			e.log.Info("callback verified")
			e.enable(app)
			return
		}
		e.log.Warn("callback not verified, trying again", "err", err, "pause", pause)
		t := time.NewTimer(jitter(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-e.knock: // the callback changed
			t.Stop()
			pause = handshakePauseMin
		case <-t.C:
			pause = min(2*pause, handshakePauseMax)
		}
	}
}

// challenge performs one handshake.
func (e *engine) challenge(ctx context.Context, app App) error {
	ctx, cancel := context.WithTimeout(ctx, app.Timeout)
	defer cancel()
	return egress.Handshake{Callback: app.Callback, VerifyToken: app.VerifyToken, Agent: e.agent}.Perform(ctx, e.via())
}

func (e *engine) via() Transport {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.transport
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
