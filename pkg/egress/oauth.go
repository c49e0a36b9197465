package egress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// OAuth are client credentials (RFC 6749, 4.4). The zero value is none.
type OAuth struct {
	// TokenURL is an absolute http or https address, empty for no OAuth; it is reached by the same
	// rules as the endpoint.
	TokenURL     string
	ClientID     string
	ClientSecret string
	// Scopes and Audience are sent when set.
	Scopes   []string
	Audience string
	// InBody sends id and secret as form fields instead of Basic
	// authentication.
	InBody bool
}

// ErrToken is returned (wrapped) when the token endpoint gave no access token.
var ErrToken = errors.New("egress: no access token")

const (
	maxTokenAnswer = 64 << 10
	tokenPauseMin  = time.Second
	tokenPauseMax  = time.Minute
	// tokenAge is assumed where the answer names no expiry; tokenMargin is how
	// long before its expiry a token is renewed, at most a tenth of its age.
	tokenAge    = time.Hour
	tokenMargin = 30 * time.Second
)

// tokens fetches an access token and keeps it until shortly before it expires.
// After a failure the endpoint is left alone for a while, and the failure is
// the answer.
type tokens struct {
	oauth OAuth
	via   http.RoundTripper
	turn  chan struct{} // of capacity 1: held by whoever looks or fetches

	// Guarded by turn.
	token    string
	until    time.Time
	failure  error
	failures int
	again    time.Time
}

func newTokens(o OAuth, via http.RoundTripper) *tokens {
	return &tokens{oauth: o, via: via, turn: make(chan struct{}, 1)}
}

// get returns a token, and whether it was fetched just now. It blocks while
// another request fetches one, until ctx ends.
func (t *tokens) get(ctx context.Context) (token string, fresh bool, err error) {
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", false, fmt.Errorf("%w: %w", ErrToken, ctx.Err())
	}
	defer func() { <-t.turn }()
	now := time.Now()
	switch {
	case t.token != "" && now.Before(t.until):
		return t.token, false, nil
	case t.failure != nil && now.Before(t.again):
		return "", false, t.failure
	}
	answer, err := t.fetch(ctx)
	if err != nil {
		t.token = ""
		err = fmt.Errorf("%w: %s: %w", ErrToken, redacted(t.oauth.TokenURL), err)
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.failure = err
			t.again = time.Now().Add(min(tokenPauseMin<<min(t.failures, 6), tokenPauseMax))
			t.failures++
		}
		return "", false, err
	}
	age := answer.age()
	t.token, t.until = answer.Token, now.Add(age-min(tokenMargin, age/10))
	t.failure, t.failures = nil, 0
	return t.token, true, nil
}

// drop forgets a token that the endpoint did not accept.
func (t *tokens) drop(token string) {
	t.turn <- struct{}{}
	if t.token == token {
		t.token = ""
	}
	<-t.turn
}

// tokenAnswer is the token endpoint's answer. Source: RFC 6749, 5.1.
type tokenAnswer struct {
	Token   string  `json:"access_token"`
	Type    string  `json:"token_type"`
	Expires float64 `json:"expires_in"`
}

func (a *tokenAnswer) age() time.Duration {
	if a.Expires <= 0 {
		return tokenAge
	}
	return time.Duration(min(a.Expires, (24*time.Hour).Seconds()) * float64(time.Second))
}

func (t *tokens) fetch(ctx context.Context) (*tokenAnswer, error) {
	req, err := t.request(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := t.via.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	a := &tokenAnswer{}
	if err := json.Unmarshal(body, a); err != nil {
		return nil, errors.New("the answer is not a token in JSON") // its text may hold one
	}
	if a.Token == "" || a.Type != "" && !strings.EqualFold(a.Type, "bearer") || strings.ContainsFunc(a.Token, unprintable) {
		return nil, errors.New("the answer holds no bearer token")
	}
	return a, nil
}

func unprintable(r rune) bool { return r <= ' ' || r >= 0x7f }

func (t *tokens) request(ctx context.Context) (*http.Request, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(t.oauth.Scopes) > 0 {
		form.Set("scope", strings.Join(t.oauth.Scopes, " "))
	}
	if t.oauth.Audience != "" {
		form.Set("audience", t.oauth.Audience)
	}
	if t.oauth.InBody {
		form.Set("client_id", t.oauth.ClientID)
		form.Set("client_secret", t.oauth.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.oauth.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if !t.oauth.InBody { // RFC 6749, 2.3.1: both are form-encoded first
		req.SetBasicAuth(url.QueryEscape(t.oauth.ClientID), url.QueryEscape(t.oauth.ClientSecret))
	}
	return req, nil
}

// authorize sends req with a token: once more with a new one when a token that
// was kept is no longer accepted. The body is held in memory meanwhile.
func (t *tokens) authorize(req *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	body, err := bodyOf(req)
	if err != nil {
		return nil, err
	}
	for {
		token, fresh, err := t.get(req.Context())
		if err != nil {
			return nil, err
		}
		try := req.Clone(req.Context())
		try.Header.Set("Authorization", "Bearer "+token)
		if len(body) > 0 {
			try.Body = io.NopCloser(bytes.NewReader(body))
		}
		resp, err := send(try)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		t.drop(token)
		if fresh {
			return resp, nil
		}
		_ = resp.Body.Close()
	}
}

// bodyOf reads and closes a request's body.
func bodyOf(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	return body, errors.Join(err, req.Body.Close())
}
