package fanout

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/webhook"
)

// drainBytes is how much of an answer's body is read so that its connection can
// be used again. What is longer costs the endpoint a new connection.
const drainBytes = 16 << 10

// Names of the headers of a delivery. Source: protocol 12.4.
const (
	headerDeliveryID = "Baton-Delivery-Id"
	headerAttempt    = "Baton-Attempt"
	headerSHA1       = "X-Hub-Signature"
	headerSHA256     = "X-Hub-Signature-256"
)

// post sends a batch and classes the end. It blocks for at most the app's
// time-out, twice when a connection that was kept alive turned out to be dead.
func (e *engine) post(b *batch) result {
	ctx, cancel := context.WithTimeout(b.ctx, b.app.Timeout)
	defer cancel()
	for _, l := range b.letters {
		if !l.from.mayStart() {
			return result{answer: answerCancelled}
		}
	}
	body := b.body()
	started := time.Now()
	r, stale := e.exchange(ctx, b, body)
	if stale {
		b.via.CloseIdleConnections()
		r, _ = e.exchange(ctx, b, body)
	}
	r.took = time.Since(started)
	return r
}

// body renders a POST: one entry per event, one object, one channel.
func (b *batch) body() []byte {
	entries := make([]webhook.Entry, len(b.letters))
	size := 64
	for i, l := range b.letters {
		entries[i] = webhook.Entry{Asset: l.thread.Asset, Time: l.at, Element: l.element}
		size += len(l.element) + 96
	}
	head := b.letters[0]
	return webhook.AppendBody(make([]byte, 0, size), head.object, head.channel, b.app.EmptyMessaging, entries)
}

// exchange posts once. stale says that a kept-alive connection was closed under
// the request before any of the answer came: worth one more try at once.
func (e *engine) exchange(ctx context.Context, b *batch, body []byte) (r result, stale bool) {
	var reused, answered bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(i httptrace.GotConnInfo) { reused = i.Reused },
		GotFirstResponseByte: func() { answered = true },
	})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, b.app.Callback, bytes.NewReader(body))
	if err != nil {
		return result{answer: answerUnreachable, err: err}, false
	}
	e.sign(req, b, body)
	resp, err := b.via.RoundTrip(req)
	if err != nil {
		r = result{answer: classify(b.ctx, ctx, err), err: err}
		return r, reused && !answered && r.answer == answerBroken
	}
	_, _ = io.CopyN(io.Discard, resp.Body, drainBytes)
	_ = resp.Body.Close()
	wait := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return result{answer: answerOf(resp.StatusCode, wait), status: resp.StatusCode, retryAfter: wait}, false
}

// sign sets the headers of a delivery. Both signatures are over the bytes that
// are sent: a third of the published clients know only one of the two.
func (e *engine) sign(req *http.Request, b *batch, body []byte) {
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", e.agent)
	h[headerDeliveryID] = []string{b.ids()}
	h[headerAttempt] = []string{strconv.Itoa(b.letters[0].attempts + 1)}
	h.Set(headerSHA1, webhook.Sign1(b.app.Secret, body))
	h.Set(headerSHA256, webhook.Sign256(b.app.Secret, body))
}

// ids are the delivery ids, <partition>-<position>, in entry order.
func (b *batch) ids() string {
	var s strings.Builder
	for i, l := range b.letters {
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString(strconv.Itoa(l.partition))
		s.WriteByte('-')
		s.WriteString(strconv.FormatUint(uint64(l.position), 10))
	}
	return s.String()
}

// classify tells apart why there was no answer. flight is the POST's context
// without its deadline.
func classify(flight, ctx context.Context, err error) answer {
	var timeout net.Error
	switch {
	case flight.Err() != nil:
		return answerCancelled
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return answerTimeout
	case unreachable(err):
		return answerUnreachable
	}
	return answerBroken
}
