package webhook

import (
	"fmt"
	"unicode/utf8"
)

// ParseError says why a body or an element was refused. Offset is in bytes from
// the start of what was given.
type ParseError struct {
	Offset int
	Reason string
}

// Error is the reason with its offset.
func (e *ParseError) Error() string {
	return fmt.Sprintf("webhook: %s (offset %d)", e.Reason, e.Offset)
}

// check reports whether data is one JSON value as RFC 8259 has it, in UTF-8,
// with at most maxDepth containers inside one another.
func check(data []byte, maxDepth int) *ParseError {
	c := checker{data: data, maxDepth: maxDepth}
	return c.check()
}

// index checks data and appends its containers to jumps, in the order in which
// they open.
func index(data []byte, maxDepth int, jumps []jump) ([]jump, *ParseError) {
	c := checker{data: data, maxDepth: maxDepth, record: true, jumps: jumps}
	err := c.check()
	return c.jumps, err
}

func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(data)
}

// checker holds the first fault. Its functions take the index of what they
// read and return the index after it; after a fault the end of the data, where
// everything else stops.
type checker struct {
	data     []byte
	maxDepth int
	record   bool // fill jumps
	jumps    []jump
	offset   int
	reason   string
}

// jump leads over a container: its size in bytes, and the index of the first
// container that opens after its end.
type jump struct{ size, next int32 }

func (c *checker) check() *ParseError {
	if !utf8.Valid(c.data) {
		return &ParseError{Offset: firstInvalid(c.data), Reason: "not UTF-8"}
	}
	end := c.value(space(c.data, 0), 0)
	if c.reason == "" {
		if end = space(c.data, end); end < len(c.data) {
			c.fail(end, "bytes after the JSON value")
		}
	}
	if c.reason != "" {
		return &ParseError{Offset: c.offset, Reason: c.reason}
	}
	return nil
}

// container reads an object or an array.
func (c *checker) container(i, depth int) int {
	if depth > c.maxDepth {
		return c.fail(i, "JSON is nested too deeply")
	}
	own := len(c.jumps)
	if c.record {
		c.jumps = append(c.jumps, jump{})
	}
	var end int
	if c.data[i] == '{' {
		end = c.object(i, depth)
	} else {
		end = c.array(i, depth)
	}
	if c.record {
		c.jumps[own] = jump{int32(end - i), int32(len(c.jumps))}
	}
	return end
}

func (c *checker) fail(at int, reason string) int {
	if c.reason == "" {
		c.offset, c.reason = at, reason
	}
	return len(c.data)
}

// at is the byte at i, zero at the end: no JSON token begins with it.
func (c *checker) at(i int) byte {
	if i < len(c.data) {
		return c.data[i]
	}
	return 0
}

func (c *checker) value(i, depth int) int {
	switch b := c.at(i); {
	case b == '"':
		return c.str(i)
	case b == '{' || b == '[':
		return c.container(i, depth+1)
	case b == '-' || isDigit(b):
		return c.number(i)
	case b == 't':
		return c.word(i, "true")
	case b == 'f':
		return c.word(i, "false")
	case b == 'n':
		return c.word(i, "null")
	case i >= len(c.data):
		return c.fail(i, "JSON ends early")
	}
	return c.fail(i, "not a JSON value")
}

func (c *checker) word(i int, word string) int {
	end := i + len(word)
	if end > len(c.data) || string(c.data[i:end]) != word {
		return c.fail(i, "not a JSON value")
	}
	return end
}

func (c *checker) object(i, depth int) int {
	i = space(c.data, i+1)
	if c.at(i) == '}' {
		return i + 1
	}
	for {
		if c.at(i) != '"' {
			return c.fail(i, "a key was expected")
		}
		i = space(c.data, c.str(i))
		if c.at(i) != ':' {
			return c.fail(i, "':' was expected")
		}
		i = space(c.data, c.value(space(c.data, i+1), depth))
		switch c.at(i) {
		case ',':
			i = space(c.data, i+1)
		case '}':
			return i + 1
		default:
			return c.fail(i, "',' or '}' was expected")
		}
	}
}

func (c *checker) array(i, depth int) int {
	i = space(c.data, i+1)
	if c.at(i) == ']' {
		return i + 1
	}
	for {
		i = space(c.data, c.value(i, depth))
		switch c.at(i) {
		case ',':
			i = space(c.data, i+1)
		case ']':
			return i + 1
		default:
			return c.fail(i, "',' or ']' was expected")
		}
	}
}

func (c *checker) str(i int) int {
	start := i
	for i++; i < len(c.data); i++ {
		if !special[c.data[i]] {
			continue
		}
		switch c.data[i] {
		case '"':
			return i + 1
		case '\\':
			if i = c.escape(i + 1); c.reason != "" {
				return i
			}
		default:
			return c.fail(i, "a control character in a string")
		}
	}
	return c.fail(start, "a string without end")
}

// escape reads what follows a backslash and returns the index of its last byte.
func (c *checker) escape(i int) int {
	switch c.at(i) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i
	case 'u':
		for n := 1; n <= 4; n++ {
			if hexValue(c.at(i+n)) < 0 {
				return c.fail(i, `a bad \u escape`)
			}
		}
		return i + 4
	}
	return c.fail(i, "a bad escape")
}

func (c *checker) number(i int) int {
	if c.at(i) == '-' {
		i++
	}
	switch b := c.at(i); {
	case b == '0':
		i++
	case isDigit(b):
		i = c.digits(i)
	default:
		return c.fail(i, "a bad number")
	}
	if c.at(i) == '.' {
		i = c.digits(i + 1)
	}
	if b := c.at(i); b == 'e' || b == 'E' {
		i++
		if b := c.at(i); b == '+' || b == '-' {
			i++
		}
		i = c.digits(i)
	}
	return i
}

func (c *checker) digits(i int) int {
	if !isDigit(c.at(i)) {
		return c.fail(i, "a bad number")
	}
	for isDigit(c.at(i)) {
		i++
	}
	return i
}

// special marks the bytes at which the scan of a string must stop.
//
//nolint:gochecknoglobals // a constant table
var special = func() (t [256]bool) {
	for b := range 0x20 {
		t[b] = true
	}
	t['"'], t['\\'] = true, true
	return t
}()

// space returns the index of the first byte from i on that is no white space.
func space(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

func isDigit(b byte) bool { return b-'0' <= 9 }

func hexValue(b byte) rune {
	switch {
	case isDigit(b):
		return rune(b - '0')
	case b-'a' <= 5:
		return rune(b-'a') + 10
	case b-'A' <= 5:
		return rune(b-'A') + 10
	}
	return -1
}
