package contract

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/egress"
)

// judge says what an answer to the sample is worth, and what to do about it.
func (s *sample) judge(r *Result) {
	if s.need == mustRefuse {
		s.judgeRefusal(r)
		return
	}
	switch {
	case r.Failure != egress.ClassNone:
		r.Verdict = Fail
		r.Advice = strings.TrimSuffix(consequence(r)+"; "+s.hint, "; ")
		if s.need == shouldTake {
			r.Verdict = Warn
		}
	case r.Took >= late:
		r.Verdict, r.Advice = Fail, fmt.Sprintf("answers after %s: a delivery is repeated after 5 s; answer first and work afterwards", round(r.Took))
	case r.Took >= 2*slow, r.Took >= slow && !s.slow:
		r.Verdict, r.Advice = Warn, fmt.Sprintf("takes %s; answer first and work afterwards", round(r.Took))
	default:
		r.Verdict = OK
	}
}

// judgeRefusal judges the answer to what a stranger could send.
func (s *sample) judgeRefusal(r *Result) {
	switch {
	case r.Failure == egress.ClassNone:
		r.Verdict = Fail
		r.Advice = "anybody can send events: check X-Hub-Signature-256 (or X-Hub-Signature) over the bytes as they come, and answer 403"
	case r.Status >= 500:
		r.Verdict, r.Advice = Warn, "refused, but as the endpoint's own failure; 403 says what it is"
	case r.Status >= 400:
		r.Verdict = OK
	default:
		r.Verdict, r.Advice = Warn, "not taken, but not refused either ("+string(r.Failure)+"); 403 says what it is"
	}
}

// consequence is what Baton would do after such an answer.
func consequence(r *Result) string {
	switch {
	case r.Failure == egress.ClassRedirect:
		return "redirects are not followed: register the address that answers"
	case r.Failure == egress.ClassTimeout:
		return fmt.Sprintf("no answer within %s: the event is tried again until it is given up", round(r.Took))
	case r.Failure != egress.ClassStatus:
		return string(r.Failure) + ": " + r.Advice
	case r.Status == http.StatusGone:
		return "410 stops all deliveries to the app until somebody resumes them"
	case r.Status == http.StatusRequestTimeout, r.Status == http.StatusConflict, r.Status == http.StatusTooEarly,
		r.Status == http.StatusTooManyRequests, r.Status >= 500:
		return fmt.Sprintf("%d: the event is tried again until it is given up, and its thread waits", r.Status)
	}
	return fmt.Sprintf("%d: the event is given up at once and becomes a dead letter", r.Status)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// handshakeCase is one hub.challenge.
type handshakeCase struct {
	name, mode, token string
	good              bool
}

func handshakes(token string) []handshakeCase {
	return []handshakeCase{
		{"verification", "subscribe", token, true},
		{"verification with a wrong token", "subscribe", token + "-wrong", false},
		{"verification with a wrong mode", "unsubscribe", token, false},
	}
}

// verify performs a handshake and judges it by status and body: some endpoints
// answer 200 whatever the token is.
func (c *Config) verify(ctx context.Context, h handshakeCase) Result {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	challenge := rand.Text()
	u, _ := url.Parse(c.URL) // Run has parsed it
	q := u.Query()
	q.Set("hub.mode", h.mode)
	q.Set("hub.verify_token", h.token)
	q.Set("hub.challenge", challenge)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return Result{Name: h.name, Failure: egress.ClassConnect, Advice: err.Error(), Verdict: Fail}
	}
	req.Header.Set("User-Agent", c.Agent)
	started := time.Now()
	resp, err := c.Via.RoundTrip(req)
	if err != nil {
		return Result{Name: h.name, Failure: egress.ClassOf(err), Advice: err.Error(), Verdict: Fail, Took: time.Since(started)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // a broken body is not the challenge
	echoed := subtle.ConstantTimeCompare([]byte(strings.TrimSpace(string(body))), []byte(challenge)) == 1
	r := Result{Name: h.name, Status: resp.StatusCode, Failure: egress.ClassOfStatus(resp.StatusCode), Took: time.Since(started), Verdict: OK}
	h.judge(&r, echoed)
	return r
}

func (h handshakeCase) judge(r *Result, echoed bool) {
	taken := r.Failure == egress.ClassNone
	switch {
	case h.good && (!taken || !echoed):
		r.Verdict, r.Advice = Fail, "answer 200 with the value of hub.challenge as the whole body: without it the app gets no events"
	case !h.good && taken && echoed:
		r.Verdict, r.Advice = Fail, "anybody can register this endpoint: compare hub.verify_token and hub.mode, and answer 403"
	case !h.good && taken:
		r.Verdict, r.Advice = Warn, "the challenge is not echoed, but the status is 200; 403 says what it is"
	}
}
