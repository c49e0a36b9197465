package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"
)

// How a call may fail. Callers compare with errors.Is.
var (
	// ErrUnknown: the request was written and its outcome cannot be known: no
	// answer in time, a broken one, or a server error.
	ErrUnknown = errors.New("platform: outcome unknown")
	// ErrNotSent: the request never left; nothing happened.
	ErrNotSent = errors.New("platform: not sent")
)

// RefusedError is the platform's refusal: it did nothing.
type RefusedError struct {
	Status int
	// Header holds the platform's rate-limit headers and Content-Type.
	Header http.Header
	// Body is the answer, unchanged.
	Body []byte
}

// Error names the status; the body may hold personal data.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("platform: refused with status %d", e.Status)
}

// Refused returns the refusal that err is, if it is one.
func Refused(err error) (*RefusedError, bool) { return errors.AsType[*RefusedError](err) }

// do makes a request and reads the whole answer, and sorts how it ended.
func (c *Client) do(r *http.Request) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), c.timeout)
	defer cancel()
	answer, err := c.roundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, c.config.MaxAnswerBytes+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: reading the answer: %w", ErrUnknown, err)
	case int64(len(body)) > c.config.MaxAnswerBytes:
		return nil, nil, fmt.Errorf("%w: the answer is longer than %d bytes", ErrUnknown, c.config.MaxAnswerBytes)
	}
	header := Limits(answer.Header)
	switch status := answer.StatusCode; {
	case status == http.StatusOK:
		return header, body, nil
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		return nil, nil, &RefusedError{Status: status, Header: header, Body: body}
	default:
		return nil, nil, fmt.Errorf("%w: status %d", ErrUnknown, status)
	}
}

// roundTrip makes a request; its errors are ErrNotSent and ErrUnknown.
func (c *Client) roundTrip(r *http.Request) (*http.Response, error) {
	var written atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { written.Store(true) }}
	answer, err := c.http.Do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err == nil {
		return answer, nil
	}
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // the address holds the token
	}
	if written.Load() {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrNotSent, err)
}

// connectWithin cancels r unless it has a connection in time. stop must be
// called when r is over.
func connectWithin(r *http.Request, within time.Duration) (bounded *http.Request, stop func()) {
	if within <= 0 {
		return r, func() {}
	}
	ctx, cancel := context.WithCancel(r.Context())
	timer := time.AfterFunc(within, cancel)
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { timer.Stop() }}
	return r.WithContext(httptrace.WithClientTrace(ctx, trace)), func() { timer.Stop(); cancel() }
}

// limitHeaders tell a caller how much of its limits is used.
//
//nolint:gochecknoglobals // a constant table
var limitHeaders = []string{
	"X-App-Usage", "X-Page-Usage", "X-Business-Use-Case-Usage", "X-Ad-Account-Usage", "Retry-After", "Content-Type",
}

// Limits picks the rate-limit headers and the Content-Type of an answer.
func Limits(from http.Header) http.Header {
	picked := http.Header{}
	for _, name := range limitHeaders {
		if v := from.Values(name); len(v) > 0 {
			picked[name] = v
		}
	}
	return picked
}
