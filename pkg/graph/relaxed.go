package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var errRelaxed = errors.New("neither JSON nor a relaxed object")

// relax turns the relaxed objects of the documentation into JSON: keys and
// values may stand without quotes or in single quotes. Words that are JSON
// scalars stay such; every other word becomes a string.
func relax(in []byte, maxDepth int) ([]byte, error) {
	r := relaxer{in: string(in), maxDepth: maxDepth}
	r.space()
	if r.peek() != '{' && r.peek() != '[' {
		return nil, errRelaxed
	}
	r.value(0)
	r.space()
	if r.err == nil && r.at < len(r.in) {
		r.fail()
	}
	if r.err != nil {
		return nil, r.err
	}
	return []byte(r.out.String()), nil
}

type relaxer struct {
	in       string
	at       int
	maxDepth int
	out      strings.Builder
	err      error
}

func (r *relaxer) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("%w (offset %d)", errRelaxed, r.at)
	}
	r.at = len(r.in)
}

func (r *relaxer) peek() byte {
	if r.at < len(r.in) {
		return r.in[r.at]
	}
	return 0
}

func (r *relaxer) space() {
	for r.at < len(r.in) && strings.IndexByte(" \t\r\n", r.in[r.at]) >= 0 {
		r.at++
	}
}

func (r *relaxer) value(depth int) {
	if depth > r.maxDepth {
		r.err, r.at = errDeep, len(r.in)
		return
	}
	switch r.peek() {
	case '{':
		r.container('}', depth+1, r.pair)
	case '[':
		r.container(']', depth+1, r.value)
	case '"', '\'':
		r.quoted()
	default:
		r.word(false)
	}
}

// container reads items up to the closing bracket; each reads one of them.
func (r *relaxer) container(closing byte, depth int, each func(depth int)) {
	r.out.WriteByte(r.peek())
	r.at++
	for first := true; ; first = false {
		r.space()
		if r.peek() == closing && first {
			break
		}
		each(depth)
		r.space()
		if r.peek() == closing {
			break
		}
		if r.peek() != ',' {
			r.fail()
			return
		}
		r.at++
		r.out.WriteByte(',')
	}
	r.at++
	r.out.WriteByte(closing)
}

func (r *relaxer) pair(depth int) {
	if c := r.peek(); c == '"' || c == '\'' {
		r.quoted()
	} else {
		r.word(true)
	}
	r.space()
	if r.peek() != ':' {
		r.fail()
		return
	}
	r.at++
	r.out.WriteByte(':')
	r.space()
	r.value(depth)
}

// quoted reads a string in either quotes; escapes are those of JSON, and \'.
func (r *relaxer) quoted() {
	quote := r.peek()
	r.at++
	var inner strings.Builder
	inner.WriteByte('"')
	for r.at < len(r.in) && r.in[r.at] != quote {
		c := r.in[r.at]
		switch {
		case c == '\\' && strings.HasPrefix(r.in[r.at:], `\'`):
			inner.WriteByte('\'')
			r.at++
		case c == '\\' && r.at+1 < len(r.in):
			inner.WriteString(r.in[r.at : r.at+2])
			r.at++
		case c == '"':
			inner.WriteString(`\"`)
		default:
			inner.WriteByte(c)
		}
		r.at++
	}
	inner.WriteByte('"')
	if r.at == len(r.in) || !json.Valid([]byte(inner.String())) {
		r.fail()
		return
	}
	r.at++
	r.out.WriteString(inner.String())
}

// word reads a bare word; as a key it is always a string.
func (r *relaxer) word(key bool) {
	start := r.at
	for r.at < len(r.in) && strings.IndexByte(" \t\r\n,:{}[]\"'\\", r.in[r.at]) < 0 {
		r.at++
	}
	word := r.in[start:r.at]
	if word == "" {
		r.fail()
		return
	}
	if !key && json.Valid([]byte(word)) {
		r.out.WriteString(word)
		return
	}
	r.out.Write(marshal(word))
}
