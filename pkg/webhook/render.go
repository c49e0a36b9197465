package webhook

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
)

// Edit is what the copy of an element for an app changes.
type Edit struct {
	// DropPayload removes postback.payload: standby copies have none.
	DropPayload bool
	// SetEcho writes EchoApp as message.app_id, a number, and Metadata as
	// message.metadata; empty Metadata removes the key. So Baton's own token
	// never reaches an app. EchoApp zero removes app_id.
	SetEcho  bool
	EchoApp  control.AppID
	Metadata string
}

// AppendElement appends raw, one JSON object, as the platform would write it:
// without white space, in ASCII, everything else as \uXXXX in lower case, and
// / as \/. Apart from the edits its meaning stays, unknown fields, order and
// the digits of numbers included. The error is a *ParseError when raw is no
// JSON object; then dst is returned as it was.
func AppendElement(dst, raw []byte, e Edit) ([]byte, error) {
	if err := check(raw, DefaultDepth); err != nil {
		return dst, err
	}
	object := raw[space(raw, 0):]
	if object[0] != '{' {
		return dst, &ParseError{Offset: len(raw) - len(object), Reason: "the element is not an object"}
	}
	w := objectWriter{dst: dst}
	w.open()
	for key, value := range members(object) {
		switch {
		case e.DropPayload && is(key, "postback") && value[0] == '{':
			w.key(key)
			w.dst = appendPostback(w.dst, value)
		case e.SetEcho && is(key, "message") && value[0] == '{':
			w.key(key)
			w.dst = appendEcho(w.dst, value, e)
		default:
			w.member(key, value)
		}
	}
	return w.close(), nil
}

func appendPostback(dst, postback []byte) []byte {
	w := objectWriter{dst: dst}
	w.open()
	for key, value := range members(postback) {
		if !is(key, "payload") {
			w.member(key, value)
		}
	}
	return w.close()
}

func appendEcho(dst, message []byte, e Edit) []byte {
	w := objectWriter{dst: dst}
	w.open()
	for key, value := range members(message) {
		if !is(key, "app_id") && !is(key, "metadata") {
			w.member(key, value)
		}
	}
	if e.EchoApp != 0 {
		w.name("app_id")
		w.dst = strconv.AppendUint(w.dst, uint64(e.EchoApp), 10)
	}
	if e.Metadata != "" {
		w.name("metadata")
		w.dst = appendString(w.dst, e.Metadata)
	}
	return w.close()
}

// objectWriter appends an object member by member.
type objectWriter struct {
	dst  []byte
	more bool
}

func (w *objectWriter) open() { w.dst = append(w.dst, '{') }

func (w *objectWriter) close() []byte { return append(w.dst, '}') }

// key begins a member whose key stands in a document as literal.
func (w *objectWriter) key(literal []byte) {
	w.comma()
	w.dst = append(appendLiteral(w.dst, literal), ':')
}

// name begins a member with a key of our own, plain ASCII.
func (w *objectWriter) name(name string) {
	w.comma()
	w.dst = append(append(append(w.dst, '"'), name...), '"', ':')
}

func (w *objectWriter) comma() {
	if w.more {
		w.dst = append(w.dst, ',')
	}
	w.more = true
}

func (w *objectWriter) member(key, value []byte) {
	w.key(key)
	w.dst = appendValue(w.dst, value)
}

// appendValue appends a checked value in the platform's form.
func appendValue(dst, value []byte) []byte {
	for i := 0; i < len(value); {
		if value[i] == '"' {
			end := skipString(value, i)
			dst = appendLiteral(dst, value[i:end])
			i = end
			continue
		}
		if i = space(value, i); i < len(value) && value[i] != '"' {
			dst = append(dst, value[i])
			i++
		}
	}
	return dst
}

// appendLiteral appends a string literal of a checked document.
func appendLiteral(dst, literal []byte) []byte {
	for i := 0; i < len(literal); {
		run := i
		for i < len(literal) && ordinary[literal[i]] {
			i++
		}
		dst = append(dst, literal[run:i]...)
		if i < len(literal) {
			dst, i = appendSpecial(dst, literal, i)
		}
	}
	return dst
}

// appendSpecial appends the escape, slash or non-ASCII character at i.
func appendSpecial(dst, literal []byte, i int) ([]byte, int) {
	switch {
	case literal[i] == '/':
		return append(dst, '\\', '/'), i + 1
	case literal[i] == '\\' && literal[i+1] == 'u':
		return appendUnit(dst, unit(literal[i:])), i + 6
	case literal[i] == '\\':
		return append(dst, '\\', literal[i+1]), i + 2
	}
	r, size := utf8.DecodeRune(literal[i:])
	return appendRune(dst, r), i + size
}

// ordinary marks the bytes of a literal that stay as they are.
//
//nolint:gochecknoglobals // a constant table
var ordinary = func() (t [256]bool) {
	for b := 0x20; b < utf8.RuneSelf; b++ {
		t[b] = b != '\\' && b != '/'
	}
	return t
}()

// appendString appends s as a literal in the platform's form; bytes that are
// not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/':
			dst = append(dst, '\\', byte(r))
		case r < 0x20 || r >= utf8.RuneSelf:
			dst = appendRune(dst, r)
		default:
			dst = append(dst, byte(r))
		}
	}
	return append(dst, '"')
}

func appendRune(dst []byte, r rune) []byte {
	if r < 0x10000 {
		return appendUnit(dst, r)
	}
	high, low := utf16.EncodeRune(r)
	return appendUnit(appendUnit(dst, high), low)
}

func appendUnit(dst []byte, u rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
