package fanout

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ErrChallenge is the error of a handshake whose endpoint did not answer with
// the challenge: wrong status or, as a popular adapter does for a wrong token,
// 200 with another body.
var ErrChallenge = errors.New("fanout: the callback did not answer the challenge")

const (
	handshakePauseMin = time.Second
	handshakePauseMax = time.Minute
	maxChallenge      = 1 << 20
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
	nonce, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return fmt.Errorf("fanout: challenge: %w", err)
	}
	target, err := challengeURL(app, nonce.String())
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return fmt.Errorf("fanout: challenge: %w", err)
	}
	req.Header.Set("User-Agent", e.agent)
	resp, err := e.via().RoundTrip(req)
	if err != nil {
		return fmt.Errorf("fanout: challenge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxChallenge))
	return compareChallenge(resp.StatusCode, body, nonce.String())
}

func (e *engine) via() Transport {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.transport
}

func challengeURL(app App, nonce string) (string, error) {
	u, err := url.Parse(app.Callback)
	if err != nil {
		return "", fmt.Errorf("fanout: callback of app %s: %w", app.ID, err)
	}
	q := u.Query()
	q.Set("hub.mode", "subscribe")
	q.Set("hub.verify_token", app.VerifyToken)
	q.Set("hub.challenge", nonce)
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// compareChallenge wants 200 and the challenge itself; white space around it is
// forgiven.
func compareChallenge(status int, body []byte, nonce string) error {
	if status != http.StatusOK {
		return fmt.Errorf("%w: status %d", ErrChallenge, status)
	}
	if subtle.ConstantTimeCompare([]byte(strings.TrimSpace(string(body))), []byte(nonce)) != 1 {
		return fmt.Errorf("%w: status 200 with another body", ErrChallenge)
	}
	return nil
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
