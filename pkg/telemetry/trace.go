package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
)

// ErrTraceparent is returned by ParseTraceparent for a header that is not of
// the form of W3C Trace Context, level 1.
var ErrTraceparent = errors.New("telemetry: malformed traceparent")

// TraceID follows one request through all roles. The zero value means none.
type TraceID [16]byte

// String returns 32 hexadecimal digits.
func (id TraceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether there is no trace.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// Trace is a place in a trace: what a traceparent header says.
type Trace struct {
	// ID of the trace; never zero in a parsed or new one.
	ID TraceID
	// Parent is the id of the caller's span; never zero in a parsed or new one.
	Parent [8]byte
	// Sampled is the caller's wish that the trace be recorded.
	Sampled bool
}

// NewTrace returns a new random trace.
func NewTrace() Trace {
	var b [16 + 8]byte
	_, _ = rand.Read(b[:]) // never fails
	return Trace{ID: [16]byte(b[:16]), Parent: [8]byte(b[16:])}
}

// Next returns the same trace with a new span, for a call of our own.
func (t Trace) Next() Trace {
	_, _ = rand.Read(t.Parent[:])
	return t
}

const (
	traceparentBytes = len("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01")
	flagSampled      = 1
)

// Traceparent returns the header's value, version 00.
func (t Trace) Traceparent() string {
	b := make([]byte, 0, traceparentBytes)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, t.ID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, t.Parent[:])
	if t.Sampled {
		return string(append(b, "-01"...))
	}
	return string(append(b, "-00"...))
}

// ParseTraceparent reads a traceparent header. Of versions after 00 it reads
// the part that is fixed, as the specification asks. The error is
// ErrTraceparent.
func ParseTraceparent(s string) (Trace, error) {
	if len(s) < traceparentBytes || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return Trace{}, ErrTraceparent
	}
	var t Trace
	var version, flags [1]byte
	ok := unhex(version[:], s[:2]) && unhex(t.ID[:], s[3:35]) && unhex(t.Parent[:], s[36:52]) && unhex(flags[:], s[53:55])
	switch {
	case !ok, version[0] == 0xff, t.ID.IsZero(), t.Parent == [8]byte{}:
		return Trace{}, ErrTraceparent
	case version[0] == 0 && len(s) != traceparentBytes:
		return Trace{}, ErrTraceparent
	case len(s) > traceparentBytes && s[traceparentBytes] != '-':
		return Trace{}, ErrTraceparent
	}
	t.Sampled = flags[0]&flagSampled != 0
	return t, nil
}

// unhex decodes lower-case digits; upper-case ones are not allowed.
func unhex(dst []byte, s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// TraceOf returns the trace of an incoming request: the one in its traceparent
// header, or a new one when that is missing or malformed.
func TraceOf(h http.Header) Trace {
	if values := h.Values("Traceparent"); len(values) == 1 {
		if t, err := ParseTraceparent(values[0]); err == nil {
			return t
		}
	}
	return NewTrace()
}

type traceKey struct{}

// WithTrace returns a context that carries the trace.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceFrom returns the trace that ctx carries; the zero value when it carries
// none.
func TraceFrom(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}
