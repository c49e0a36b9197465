package fanout

import (
	"io"
	"net/http"
	"time"

	"github.com/baton-router/baton/pkg/egress"
)

// drainBytes is how much of an answer's body is read so that its connection can
// be used again. What is longer costs the endpoint a new connection.
const drainBytes = 16 << 10

// post sends a batch and classes the end. It blocks for at most the app's
// time-out.
func (e *engine) post(b *batch) result {
	if b.old {
		return result{answer: answerOutdated}
	}
	for _, l := range b.letters {
		if !l.from.mayStart() {
			return result{answer: answerCancelled}
		}
	}
	e.rendering.Lock() // one at a time: an app with many slots takes no more of the CPU
	b.render()
	e.rendering.Unlock()
	b.started = time.Now()
	r := e.exchange(b)
	r.took = time.Since(b.started)
	return r
}

// begin gives a batch a parcel, that of an earlier POST or a new one, and starts
// its time.
func (e *engine) begin(b *batch) {
	p, ok := e.parcels.Get().(*parcel)
	if !ok {
		p = newParcel(e.agent)
	}
	p.begin(b.app.Timeout)
	b.parcel = p
}

// finish ends a batch's time and keeps its parcel, if it is worth it.
func (e *engine) finish(b *batch) {
	b.parcel.land()
	b.parcel.keep(b)
	if b.parcel.reusable() {
		e.parcels.Put(b.parcel)
	}
}

// exchange posts a rendered batch.
func (e *engine) exchange(b *batch) result {
	p := b.parcel
	req, err := p.addressed(b.app.Callback)
	if err != nil {
		return result{answer: answerUnreachable, failure: egress.ClassConnect, err: err}
	}
	resp, err := b.via.RoundTrip(req) //nolint:bodyclose // drain closes it
	r := result{err: err, reused: p.reused, connect: p.connected(b.started), firstByte: p.firstByte(b.started)}
	if err != nil {
		r.answer, r.failure = e.classify(b, err)
		return r
	}
	r.status, r.header, r.failure = resp.StatusCode, resp.Header, egress.ClassOfStatus(resp.StatusCode)
	r.kept = p.drain(resp.Body)
	if r.failure != egress.ClassNone {
		r.retryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	r.answer = answerOf(resp.StatusCode, r.retryAfter)
	return r
}

// classify tells apart why there was no answer.
func (e *engine) classify(b *batch, err error) (answer, egress.Class) {
	class := egress.ClassOf(err)
	switch {
	case b.stopped.Load(), e.ctx.Err() != nil:
		return answerCancelled, egress.ClassCancelled
	case class == egress.ClassProxy:
		return answerProxy, class
	case class.Unreachable():
		return answerUnreachable, class
	case b.parcel.flight.Err() != nil, class == egress.ClassTimeout:
		if b.parcel.connected(b.started) == 0 { // not even a connection
			return answerTimeout, egress.ClassConnect
		}
		return answerTimeout, egress.ClassTimeout
	}
	return answerBroken, class
}

// drain reads an answer's body, as far as it is worth reading, closes it, and
// returns its first bytes.
func (p *parcel) drain(body io.ReadCloser) []byte {
	defer func() { _ = body.Close() }()
	if body == http.NoBody {
		return nil
	}
	kept, err := p.read(body, p.answer[:])
	for total := kept; err == nil && total < drainBytes; {
		var n int
		n, err = p.read(body, p.rest[:])
		total += n
	}
	return p.answer[:kept]
}

func (*parcel) read(body io.Reader, into []byte) (n int, err error) {
	for n < len(into) && err == nil {
		var m int
		m, err = body.Read(into[n:])
		n += m
	}
	return n, err
}
