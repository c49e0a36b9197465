package egress

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
)

// ErrChallenge is the error of a handshake whose endpoint did not answer with
// the challenge: another status or, as a popular adapter does for a wrong
// token, 200 with another body.
var ErrChallenge = errors.New("egress: the callback did not answer the challenge")

const maxChallenge = 4 << 10

// Handshake is one hub.challenge: who asks, and of whom.
type Handshake struct {
	// Callback is an absolute http or https address.
	Callback    string
	VerifyToken string
	// Agent is the User-Agent.
	Agent string
}

// Perform asks the callback once over rt, until ctx ends. Errors: ErrChallenge,
// ErrAddressDenied, or that of the connection.
func (h Handshake) Perform(ctx context.Context, rt http.RoundTripper) error {
	nonce, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return fmt.Errorf("egress: challenge: %w", err)
	}
	target, err := h.address(nonce.String())
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return fmt.Errorf("egress: challenge: %w", err)
	}
	req.Header.Set("User-Agent", h.Agent)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("egress: challenge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: status %d", ErrChallenge, resp.StatusCode)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxChallenge)) // a broken body is not the challenge
	if subtle.ConstantTimeCompare([]byte(strings.TrimSpace(string(body))), []byte(nonce.String())) != 1 {
		return fmt.Errorf("%w: status 200 with another body", ErrChallenge)
	}
	return nil
}

func (h Handshake) address(nonce string) (string, error) {
	u, err := url.Parse(h.Callback)
	if err != nil {
		return "", fmt.Errorf("egress: challenge: %w", err)
	}
	q := u.Query()
	q.Set("hub.mode", "subscribe")
	q.Set("hub.verify_token", h.VerifyToken)
	q.Set("hub.challenge", nonce)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
