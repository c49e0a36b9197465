package eventlog

import (
	"errors"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
)

// topicBodySize is room for a usual body of the topic in JSON, in bytes.
const topicBodySize = 768

// errNotUTF8 is returned for a text that JSON cannot carry.
var errNotUTF8 = errors.New("text is not UTF-8")

// jsonWriter writes one JSON object by hand: protobuf's reflection cost more
// than all the rest of a control message. It writes what protojson writes with
// proto names and default values, without white space. The first error sticks.
type jsonWriter struct {
	out []byte
	err error
}

// changeJSON is the JSON of c, the fields in the order of their declaration.
func changeJSON(c *controlv1.ControlChange) ([]byte, error) {
	w := jsonWriter{out: make([]byte, 0, topicBodySize)}
	w.out = append(w.out, '{')
	w.name("partition")
	w.out = strconv.AppendUint(w.out, uint64(c.GetPartition()), 10)
	w.digits("position", c.GetPosition())
	w.name("revision")
	w.out = strconv.AppendUint(w.out, uint64(c.GetRevision()), 10)
	w.digits("epoch", c.GetEpoch())
	w.text("object", c.GetObject())
	w.text("page_id", c.GetPageId())
	w.text("user_id", c.GetUserId())
	w.text("kind", c.GetKind())
	w.text("previous_owner", c.GetPreviousOwner())
	w.text("new_owner", c.GetNewOwner())
	w.actor(c.GetActor())
	w.text("reason", c.GetReason())
	w.text("metadata", c.GetMetadata())
	w.time("occurred_at", c.GetOccurredAt())
	w.time("decided_at", c.GetDecidedAt())
	w.time("expires_at", c.GetExpiresAt())
	w.text("cause", c.GetCause())
	w.text("trace_id", c.GetTraceId())
	return append(w.out, '}'), w.err
}

func (w *jsonWriter) name(name string) {
	if w.out[len(w.out)-1] != '{' {
		w.out = append(w.out, ',')
	}
	w.out = append(w.out, '"')
	w.out = append(w.out, name...)
	w.out = append(w.out, '"', ':')
}

// digits writes a 64-bit number, which protobuf's JSON quotes.
func (w *jsonWriter) digits(name string, n uint64) {
	w.name(name)
	w.out = append(w.out, '"')
	w.out = strconv.AppendUint(w.out, n, 10)
	w.out = append(w.out, '"')
}

func (w *jsonWriter) actor(a *controlv1.Actor) {
	if a == nil {
		return
	}
	w.name("actor")
	w.out = append(w.out, '{')
	w.text("kind", a.GetKind())
	w.text("id", a.GetId())
	w.out = append(w.out, '}')
}

// time writes a time with 0, 3, 6 or 9 digits behind the point.
func (w *jsonWriter) time(name string, t *timestamppb.Timestamp) {
	if t == nil {
		return
	}
	if err := t.CheckValid(); err != nil {
		w.fail(err)
		return
	}
	form := "2006-01-02T15:04:05.000000000Z"
	switch nanos := t.GetNanos(); {
	case nanos == 0:
		form = "2006-01-02T15:04:05Z"
	case nanos%1e6 == 0:
		form = "2006-01-02T15:04:05.000Z"
	case nanos%1e3 == 0:
		form = "2006-01-02T15:04:05.000000Z"
	}
	w.name(name)
	w.out = append(w.out, '"')
	w.out = t.AsTime().AppendFormat(w.out, form)
	w.out = append(w.out, '"')
}

func (w *jsonWriter) text(name, s string) {
	w.name(name)
	w.out = append(w.out, '"')
	plain := 0 // s[plain:i] is still to be copied
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			w.out = append(w.out, s[plain:i]...)
			w.escape(c)
			plain = i + 1
		}
	}
	w.out = append(w.out, s[plain:]...)
	w.out = append(w.out, '"')
	if !utf8.ValidString(s) {
		w.fail(errNotUTF8)
	}
}

func (w *jsonWriter) escape(c byte) {
	const hexDigits = "0123456789abcdef"
	switch c {
	case '"', '\\':
		w.out = append(w.out, '\\', c)
	case '\b':
		w.out = append(w.out, '\\', 'b')
	case '\f':
		w.out = append(w.out, '\\', 'f')
	case '\n':
		w.out = append(w.out, '\\', 'n')
	case '\r':
		w.out = append(w.out, '\\', 'r')
	case '\t':
		w.out = append(w.out, '\\', 't')
	default:
		w.out = append(w.out, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
