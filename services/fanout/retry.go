package fanout

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retrySteps are the pauses after the first, second, … failure; the last
// repeats. Source: design.md section 6.
//
//nolint:gochecknoglobals // a constant table
var retrySteps = [...]time.Duration{
	time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour,
}

// proxyPause is how long an app waits after the egress proxy has failed.
const proxyPause = time.Second

// maxRetryAfter bounds the Retry-After that is honoured.
const maxRetryAfter = time.Hour

// retryPause is how long to wait after the given number of failures.
func retryPause(attempts int) time.Duration {
	i := min(max(attempts, 1), len(retrySteps)) - 1
	return jitter(retrySteps[i])
}

// retryAfter reads a Retry-After header, in seconds or as a date, bounded; 0
// when there is none that can be understood.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	if header == "" {
		return 0
	}
	if s, err := strconv.ParseUint(header, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// answer is the class of a POST's end.
type answer uint8

const (
	answerTaken       answer = iota // 2xx
	answerFailed                    // worth another try: 5xx, 3xx, 408, 409, 425
	answerBusy                      // the endpoint as a whole asks for patience: 429, 503 with Retry-After
	answerTimeout                   // no answer in time
	answerUnreachable               // no connection: name, address, refusal, TLS
	answerBroken                    // connected, but the exchange broke
	answerRejected                  // any other 4xx
	answerGone                      // 410
	answerCancelled                 // we stopped it
	answerOutdated                  // we did not post it: too old by App.StandbyWithin
	answerProxy                     // the egress proxy failed: no fault of the app
)

// String is the class's name in metrics.
func (a answer) String() string {
	return [...]string{
		"taken", "failed", "busy", "timeout", "unreachable", "broken", "rejected", "gone", "cancelled", "outdated", "proxy",
	}[a]
}

// endpointWide reports whether the failure says something about the endpoint
// and nothing about the events that were posted.
func (a answer) endpointWide() bool { return a == answerBusy || a == answerUnreachable }

// answerOf classes a status.
func answerOf(status int, retryAfter time.Duration) answer {
	switch {
	case status >= 200 && status < 300:
		return answerTaken
	case status == http.StatusGone:
		return answerGone
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && retryAfter > 0:
		return answerBusy
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly:
		return answerFailed
	case status >= 400 && status < 500:
		return answerRejected
	}
	return answerFailed
}
