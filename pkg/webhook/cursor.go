package webhook

import (
	"bytes"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
)

// The functions of this file read JSON that has passed check; on anything else
// they may give nonsense, but never leave the slice.

// members yields the members of an object: the key as it is written, quotes
// included, and the value. A value that is no object has none.
func members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		if len(object) == 0 || object[0] != '{' {
			return
		}
		for i := space(object, 1); i < len(object) && object[i] == '"'; {
			end := skipString(object, i)
			from := space(object, space(object, end)+1)
			to := skip(object, from)
			if !yield(object[i:end], object[from:to]) {
				return
			}
			i = space(object, space(object, to)+1)
		}
	}
}

// items yields the elements of an array. A value that is no array has none.
func items(array []byte) iter.Seq[[]byte] {
	return func(yield func(value []byte) bool) {
		if len(array) == 0 || array[0] != '[' {
			return
		}
		for i := space(array, 1); i < len(array) && array[i] != ']'; {
			to := skip(array, i)
			if to == i || !yield(array[i:to]) {
				return
			}
			i = space(array, space(array, to)+1)
		}
	}
}

// skip returns the index after the value at i.
func skip(data []byte, i int) int {
	if i >= len(data) {
		return len(data)
	}
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '{', '[':
		return skipContainer(data, i)
	}
	for i < len(data) && !endsScalar(data[i]) {
		i++
	}
	return i
}

func endsScalar(b byte) bool {
	return b == ',' || b == '}' || b == ']' || b == ' ' || b == '\n' || b == '\t' || b == '\r'
}

func skipContainer(data []byte, i int) int {
	for depth := 0; i < len(data); {
		switch data[i] {
		case '"':
			i = skipString(data, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(data)
}

// skipString returns the index after the string whose opening quote is at i: the
// next quote with an even number of backslashes before it ends it.
func skipString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		quote := bytes.IndexByte(data[i:], '"')
		if quote < 0 {
			break
		}
		i += quote
		escapes := i
		for data[escapes-1] == '\\' { // stops at the opening quote at the latest
			escapes--
		}
		if (i-escapes)%2 == 0 {
			return i + 1
		}
	}
	return len(data)
}

// is reports whether a key, as members yields it, is name.
func is(key []byte, name string) bool { return string(plain(key)) == name }

// plain is the text of a string literal: a part of it when it holds no escape.
func plain(literal []byte) []byte {
	if len(literal) < 2 || literal[0] != '"' {
		return nil
	}
	inner := literal[1 : len(literal)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return unescape(inner)
}

// text is the text of a string value; "" for any other value.
func text(value []byte) string { return string(plain(value)) }

func unescape(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' || i+1 == len(in) {
			out = append(out, in[i])
			continue
		}
		i++
		switch in[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, size := escapedRune(in[i-1:])
			out = utf8.AppendRune(out, r)
			i += size - 2
		default:
			out = append(out, in[i])
		}
	}
	return out
}

// escapedRune reads \uXXXX, or two of them that form a surrogate pair. Half a
// pair is U+FFFD. The size is in bytes.
func escapedRune(in []byte) (r rune, size int) {
	r = unit(in)
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(in) >= 12 && in[6] == '\\' && in[7] == 'u' {
		if pair := utf16.DecodeRune(r, unit(in[6:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// unit is the code unit of \uXXXX.
func unit(in []byte) rune {
	if len(in) < 6 {
		return utf8.RuneError
	}
	return hexValue(in[2])<<12 | hexValue(in[3])<<8 | hexValue(in[4])<<4 | hexValue(in[5])
}

// digits is a number or a string, when it is made of digits alone. No number
// passes through a float.
func digits(value []byte) ([]byte, bool) {
	if len(value) > 0 && value[0] == '"' {
		value = plain(value)
	}
	for _, b := range value {
		if !isDigit(b) {
			return nil, false
		}
	}
	return value, len(value) > 0
}

// decimalID reads an id written as a string or as a number.
func decimalID(value []byte) (uint64, bool) {
	d, ok := digits(value)
	if !ok {
		return 0, false
	}
	return control.ParseID(string(d))
}

// millis reads a point in time in milliseconds. Values that would lie before
// 1973 are seconds: the dashboard's test events and changes carry them.
func millis(value []byte) (control.Millis, bool) {
	d, ok := digits(value)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(string(d), 10, 64)
	if err != nil {
		return 0, false
	}
	if n < 100_000_000_000 {
		n *= 1000
	}
	return control.Millis(n), true
}

// absent reports whether a value is missing or null.
func absent(value []byte) bool { return len(value) == 0 || value[0] == 'n' }

func isTrue(value []byte) bool { return len(value) > 0 && value[0] == 't' }
