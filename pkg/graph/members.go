package graph

import (
	"encoding/json"
	"iter"
)

// member is a member of an object with the place of its value.
type member struct {
	key      string
	value    json.RawMessage
	from, to int
}

// members yields the members of a valid object, nested as deeply as it likes; a
// value that is no object has none. The values share the object's memory.
func members(object []byte) iter.Seq[member] {
	return func(yield func(member) bool) {
		w := walker{in: object}
		for ok := w.step('{'); ok && w.peek() == '"'; ok = w.step(',') {
			from, to := w.value()
			key, known := nameOf(object[from:to])
			if !known || !w.step(':') {
				return
			}
			from, to = w.value()
			if !yield(member{key: key, value: object[from:to:to], from: from, to: to}) {
				return
			}
		}
	}
}

// nameOf is the text of a member's name; the usual ones take no memory.
func nameOf(raw []byte) (name string, ok bool) {
	switch string(raw) {
	case `"recipient"`:
		return "recipient", true
	case `"id"`:
		return "id", true
	case `"message"`:
		return "message", true
	case `"text"`:
		return "text", true
	case `"metadata"`:
		return "metadata", true
	case `"target_app_id"`:
		return "target_app_id", true
	}
	return stringOf(raw)
}

// walker goes over valid JSON. Over anything else it goes somewhere, never
// beyond the end.
type walker struct {
	in []byte
	at int
}

// peek is the next byte that is no space, zero at the end.
func (w *walker) peek() byte {
	for ; w.at < len(w.in); w.at++ {
		switch c := w.in[w.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// step goes past a byte, if it is the next that is no space.
func (w *walker) step(c byte) bool {
	if w.peek() != c {
		return false
	}
	w.at++
	return true
}

// value goes past the next value and returns its place.
func (w *walker) value() (from, to int) {
	first := w.peek()
	from = w.at
	switch first {
	case '"':
		w.text()
	case '{', '[':
		w.container()
	default:
		w.word()
	}
	return from, w.at
}

func (w *walker) text() {
	for w.at++; w.at < len(w.in) && w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			w.at++
		}
	}
	w.at = min(w.at+1, len(w.in))
}

// container goes past an object or array: to where as many brackets are closed
// as were opened.
func (w *walker) container() {
	for depth := 0; w.at < len(w.in); {
		switch w.in[w.at] {
		case '"':
			w.text()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if w.at++; depth == 0 {
			return
		}
	}
}

// word goes past a number, true, false or null.
func (w *walker) word() {
	for ; w.at < len(w.in); w.at++ {
		switch w.in[w.at] {
		case ' ', '\t', '\r', '\n', ',', ':', '}', ']':
			return
		}
	}
}
