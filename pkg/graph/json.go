package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

var (
	errDeep  = errors.New("nested too deeply")
	errUTF8  = errors.New("not UTF-8")
	errEmpty = errors.New("nothing there")
)

// checkJSON reports why data is not one JSON value of at most maxDepth
// containers inside one another.
func checkJSON(data []byte, maxDepth int) error {
	if !utf8.Valid(data) {
		return errUTF8
	}
	if depthOf(data) > maxDepth {
		return errDeep
	}
	if json.Valid(data) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%w at offset %d", err, syntax.Offset)
	}
	return errEmpty
}

// depthOf is how deeply brackets outside of strings are nested.
func depthOf(data []byte) (deepest int) {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

func isNull(raw []byte) bool { return string(raw) == "null" }

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }

// stringOf is a JSON string's text; ok is false for any other value.
func stringOf(raw []byte) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; raw[len(raw)-1] == '"' && plain(inner) {
		return string(inner), true
	}
	return s, json.Unmarshal(raw, &s) == nil
}

// plain reports whether a string's inside stands for itself.
func plain(inner []byte) bool {
	for _, c := range inner {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// scalar is a JSON string's text, or another scalar as it is written.
func scalar(raw []byte) string {
	if s, ok := stringOf(raw); ok {
		return s
	}
	if len(raw) == 0 || isNull(raw) || raw[0] == '{' || raw[0] == '[' {
		return ""
	}
	return string(raw)
}

// parseID reads a decimal id: digits only, no leading zero, not zero, at most
// 2^64-1.
func parseID(s string) (uint64, bool) {
	if s == "" || s[0] == '0' || s[0] == '+' {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil
}

// marshal encodes v without escaping <, > and &; v is one of this package's own
// types, which always encode.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("graph: encoding %T: %v", v, err)) //nolint:forbidigo // a broken invariant
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
