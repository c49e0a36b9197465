package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/webhook"
)

// Verdict is what an answer is worth.
type Verdict string

// The verdicts.
const (
	OK   Verdict = "ok"
	Warn Verdict = "warn" // works, or matters only to some
	Fail Verdict = "fail" // loses events, or lets a stranger in
)

// Compat bends events as the app's compatibility profile would.
type Compat struct {
	NumericAppIDs  bool
	EmptyMessaging bool
}

// Config says what is tested. URL is required; without a secret nothing of
// signatures is tested, without a verify token nothing of the handshake.
type Config struct {
	URL         string
	Secret      string
	VerifyToken string
	Compat      Compat
	// Timeout bounds one request; 0 is 10 s.
	Timeout time.Duration
	// Via sends the requests; egress.Transport makes one.
	Via http.RoundTripper
	// Agent is the User-Agent.
	Agent string
}

// Result is what the endpoint did with one request.
type Result struct {
	Name    string        `json:"name"`
	Status  int           `json:"status"` // 0 without an answer
	Took    time.Duration `json:"took_ns"`
	Failure egress.Class  `json:"failure,omitempty"` // the step that failed
	Verdict Verdict       `json:"verdict"`
	Advice  string        `json:"advice,omitempty"`
}

// ErrConfig is returned for a configuration that makes no sense, ErrUnreachable
// when the endpoint cannot be reached at all.
var (
	ErrConfig      = errors.New("contract: wrong configuration")
	ErrUnreachable = errors.New("contract: the endpoint cannot be reached")
)

const (
	defaultTimeout = 10 * time.Second
	// late is when the platform, and Baton by default, give up; slow when it is
	// worth a word.
	late = 5 * time.Second
	slow = time.Second
)

// Run sends everything, one request after the other, and tells report of each.
// It returns ErrConfig, ErrUnreachable, or ctx's error; an endpoint that fails
// is no error.
func Run(ctx context.Context, c Config, report func(Result)) error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%w: %q is not an absolute http or https address", ErrConfig, c.URL)
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.VerifyToken != "" {
		for _, h := range handshakes(c.VerifyToken) {
			r := c.verify(ctx, h)
			if err := reachable(ctx, &r); err != nil {
				return err
			}
			report(r)
		}
	}
	for i, s := range samples(c.Compat) {
		if s.secret != signed && c.Secret == "" {
			continue
		}
		r := c.try(ctx, &s, i)
		if err := reachable(ctx, &r); err != nil {
			return err
		}
		report(r)
	}
	return nil
}

func reachable(ctx context.Context, r *Result) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.Failure.Unreachable() {
		return fmt.Errorf("%w: %s: %s", ErrUnreachable, r.Failure, r.Advice)
	}
	return nil
}

// try posts a sample and judges the answer.
func (c *Config) try(ctx context.Context, s *sample, number int) Result {
	var entries []webhook.Entry
	asset, _ := control.ParseID(page)
	if s.object == control.ObjectInstagram {
		asset, _ = control.ParseID(account)
	}
	for _, e := range s.events {
		entries = append(entries, webhook.Entry{Asset: asset, Time: timestamp, Element: []byte(e)})
	}
	body := webhook.AppendBody(nil, s.object, s.channel, c.Compat.EmptyMessaging, entries)
	r := c.post(ctx, s, body, number)
	if s.repeat && r.Failure == egress.ClassNone {
		r = c.post(ctx, s, body, number)
	}
	r.Name = s.name
	s.judge(&r)
	return r
}

// post sends a body as Baton would.
func (c *Config) post(ctx context.Context, s *sample, body []byte, number int) (r Result) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var content io.Reader = bytes.NewReader(body)
	if s.slow {
		content = &trickle{ctx: ctx, data: body}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, content)
	if err != nil {
		return Result{Failure: egress.ClassConnect, Advice: err.Error()}
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.Agent)
	id := "0-" + strconv.Itoa(number+1)
	req.Header["Baton-Delivery-Id"], req.Header["Baton-Attempt"] = []string{id}, []string{"1"}
	c.sign(req, s, id, body)
	return c.send(req)
}

func (c *Config) sign(req *http.Request, s *sample, id string, body []byte) {
	secret := []byte(c.Secret)
	switch {
	case s.secret == forged:
		secret = []byte("not the secret of this app")
	case s.secret == unsigned, c.Secret == "":
		return
	}
	now := time.Now().Unix()
	req.Header.Set(webhook.Header1, webhook.Sign1(secret, body))
	req.Header.Set(webhook.Header256, webhook.Sign256(secret, body))
	req.Header.Set(webhook.HeaderID, id)
	req.Header.Set(webhook.HeaderTimestamp, strconv.FormatInt(now, 10))
	req.Header.Set(webhook.HeaderSignature, webhook.NewStandardSigner(secret).Sign(id, now, body))
}

// send carries a request out; the answer's body is read and forgotten.
func (c *Config) send(req *http.Request) (r Result) {
	started := time.Now()
	resp, err := c.Via.RoundTrip(req)
	if err != nil {
		return Result{Took: time.Since(started), Failure: egress.ClassOf(err), Advice: err.Error()}
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	r = Result{Status: resp.StatusCode, Took: time.Since(started), Failure: egress.ClassOfStatus(resp.StatusCode)}
	if class := egress.ClassOf(err); class != egress.ClassNone {
		r.Failure, r.Advice = class, err.Error()
	}
	return r
}

// trickle is a body that comes in four pieces, a while apart.
type trickle struct {
	ctx    context.Context //nolint:containedctx // of the request that reads it
	data   []byte
	pieces int
}

// Read implements io.Reader.
func (t *trickle) Read(p []byte) (int, error) {
	if len(t.data) == 0 {
		return 0, io.EOF
	}
	if t.pieces++; t.pieces > 1 {
		wait := time.NewTimer(slow / 4)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-t.ctx.Done():
			return 0, t.ctx.Err()
		}
	}
	n := copy(p, t.data[:min(len(t.data), max(len(t.data)/4, 32))])
	t.data = t.data[n:]
	return n, nil
}
