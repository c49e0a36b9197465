package eventlog

import (
	"encoding/binary"
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// Answer is what a call with a command id or an Idempotency-Key was answered,
// so that a repeat is answered alike.
type Answer struct {
	// Position is the event that answers the call: the accepted send, the
	// held survey, the change. For the outcome of a send it is the accepted
	// send.
	Position control.Position
	// Open: a send whose outcome is not known yet. Done: everything else.
	Open, Done bool
	// Held: the send is a survey that waits for an idle thread.
	Held bool
	// Outcome is how a send ended, zero while it is open and for other calls;
	// an abandoned one may be sent afresh. Mid comes with OutcomeConfirmed,
	// Error, the platform's error body, with OutcomeRefused.
	Outcome control.OutcomeKind
	Mid     string
	Error   []byte
	// Digest is that of the call's verb and arguments.
	Digest uint64
	// Until is when the answer lapses, in partition time.
	Until control.Millis
}

// Live reports whether the answer still counts at now.
func (a *Answer) Live(now control.Millis) bool { return a.Until > now }

// The encoding of answers: version, flags, outcome, then numbers and texts.
const (
	answerVersion = 1
	answerOpen    = 1 << 0
	answerDone    = 1 << 1
	answerHeld    = 1 << 2
)

// AppendAnswer appends the encoding of a, as it is stored and enters the state
// digest: equal answers have equal bytes.
func AppendAnswer(dst []byte, a *Answer) []byte {
	var flags byte
	for _, f := range [...]struct {
		set bool
		bit byte
	}{{a.Open, answerOpen}, {a.Done, answerDone}, {a.Held, answerHeld}} {
		if f.set {
			flags |= f.bit
		}
	}
	dst = append(dst, answerVersion, flags, byte(a.Outcome))
	dst = binary.AppendUvarint(dst, uint64(a.Position))
	dst = binary.AppendVarint(dst, int64(a.Until))
	dst = binary.BigEndian.AppendUint64(dst, a.Digest)
	dst = append(binary.AppendUvarint(dst, uint64(len(a.Mid))), a.Mid...)
	return append(dst, a.Error...)
}

// ParseAnswer is the inverse of AppendAnswer. The answer shares no memory with
// b. The error is ErrDamaged.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) < 3 || b[0] != answerVersion {
		return Answer{}, fmt.Errorf("answer: %w", ErrDamaged)
	}
	a := Answer{
		Open: b[1]&answerOpen != 0, Done: b[1]&answerDone != 0, Held: b[1]&answerHeld != 0, Outcome: control.OutcomeKind(b[2]),
	}
	rest := b[3:]
	position, n := binary.Uvarint(rest)
	if n <= 0 {
		return Answer{}, fmt.Errorf("answer: position: %w", ErrDamaged)
	}
	rest = rest[n:]
	until, n := binary.Varint(rest)
	if n <= 0 || len(rest) < n+8 {
		return Answer{}, fmt.Errorf("answer: until: %w", ErrDamaged)
	}
	a.Position, a.Until, a.Digest = control.Position(position), control.Millis(until), binary.BigEndian.Uint64(rest[n:])
	rest = rest[n+8:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length > uint64(len(rest)-n) {
		return Answer{}, fmt.Errorf("answer: mid: %w", ErrDamaged)
	}
	a.Mid, rest = string(rest[n:n+int(length)]), rest[n+int(length):]
	if len(rest) > 0 {
		a.Error = append([]byte(nil), rest...)
	}
	return a, nil
}
