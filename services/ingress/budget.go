package ingress

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

var (
	errFull     = errors.New("ingress: no memory left for more requests")
	errTooLarge = errors.New("ingress: request too large")
	errBroken   = errors.New("ingress: request body ended early")
)

// budget is the memory that all requests share.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves n bytes, or nothing and returns false.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) <= b.limit {
		return true
	}
	b.give(n)
	return false
}

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

const (
	firstRead = 4 << 10
	// keepBuffer is the largest buffer that is kept for another request.
	keepBuffer = 128 << 10
)

// body is a request's body, whose memory is reserved as it comes in: who sends
// slowly, or announces more than he sends, holds only what he has sent.
type body struct {
	budget *budget
	data   []byte
}

//nolint:gochecknoglobals // free buffers of request bodies
var bodies = sync.Pool{New: func() any { return &body{} }}

// readBody reads r to its end. The caller gives the body back with free.
// Errors: errTooLarge beyond most bytes, errFull, errBroken.
func readBody(b *budget, r io.Reader, most int) (*body, error) {
	d, _ := bodies.Get().(*body)
	d.budget = b
	if !b.take(cap(d.data)) {
		bodies.Put(d)
		return nil, errFull
	}
	for {
		if len(d.data) == cap(d.data) {
			if err := d.grow(); err != nil {
				d.free()
				return nil, err
			}
		}
		n, err := r.Read(d.data[len(d.data):cap(d.data)])
		d.data = d.data[:len(d.data)+n]
		switch {
		case len(d.data) > most:
			d.free()
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return d, nil
		case err != nil:
			d.free()
			return nil, fmt.Errorf("%w: %w", errBroken, err)
		}
	}
}

func (d *body) grow() error {
	next := max(firstRead, 2*cap(d.data))
	if !d.budget.take(next - cap(d.data)) {
		return errFull
	}
	data := make([]byte, len(d.data), next)
	copy(data, d.data)
	d.data = data
	return nil
}

// free returns the memory. The body and everything that aliases it must not be
// used any more.
func (d *body) free() {
	d.budget.give(cap(d.data))
	d.data = d.data[:0]
	if cap(d.data) <= keepBuffer {
		bodies.Put(d)
	}
}
