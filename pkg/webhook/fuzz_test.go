package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/webhook"
)

// seeds are shared by the fuzz targets.
var seeds = []string{
	vectorBody,
	`{"object":"instagram","entry":[{"id":"1","time":1,"standby":[{"sender":{"id":2},"message":{"mid":"m","is_deleted":true}}]}]}`,
	`{"object":"page","entry":[{"changes":[{"field":"x","value":{"sender":{"id":"7"}}}]}]}`,
	`{"sender":{"id":"1"},"postback":{"payload":"é/\ud83d\ude00","title":"😀"},"n":[1e5,-0.0]}`,
	`{"message":{"is_echo":true,"app_id":7,"metadata":"baton1:1-2","text":"\u2028\/"}}`,
	`{"messaging_feedback":{"feedback_screens":[{"questions":{"q1":{}}}]}}`,
	`[[[`, `{"a":"\`, `{"a":"\u12`, "\"\xff\"",
}

// FuzzParse: Parse takes no invalid JSON, never panics, and its events lie in
// the body.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
		f.Add(body(s))
	}
	for _, s := range samples() {
		f.Add(body(s.element))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := webhook.Parse(b, webhook.Limits{})
		if err != nil {
			var parseError *webhook.ParseError
			if errors.As(err, &parseError) && (parseError.Offset < 0 || parseError.Offset > len(b)) {
				t.Errorf("offset %d of %d", parseError.Offset, len(b))
			}
			return
		}
		if !json.Valid(b) || !utf8.Valid(b) {
			t.Fatalf("%q was taken", b)
		}
		if n := elements(t, b); n != len(w.Events) && !duplicateKeys(b) {
			t.Errorf("%q: %d events, want %d", b, len(w.Events), n)
		}
		for _, e := range w.Events {
			if !json.Valid(e.Raw) || !utf8.ValidString(e.Mid+e.Ref+e.Ad+e.Metadata) {
				t.Errorf("event %+v", e)
			}
		}
	})
}

// elements counts the events of a body as encoding/json sees it.
func elements(t *testing.T, b []byte) (n int) {
	t.Helper()
	top, _ := meaning(t, b).(map[string]any)
	entries, _ := top["entry"].([]any)
	for _, entry := range entries {
		object, _ := entry.(map[string]any)
		for _, name := range []string{"messaging", "standby", "changes"} {
			array, _ := object[name].([]any)
			n += len(array)
		}
	}
	return n
}

// FuzzAppendElement: a valid object keeps its meaning; nothing else is taken.
func FuzzAppendElement(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), true, true, "order/é")
	}
	for _, s := range samples() {
		f.Add([]byte(s.element), true, true, "order/é")
	}
	f.Fuzz(func(t *testing.T, raw []byte, drop, echo bool, metadata string) {
		e := webhook.Edit{DropPayload: drop, SetEcho: echo, EchoApp: 700000000000002}
		if utf8.ValidString(metadata) {
			e.Metadata = metadata
		}
		if _, err := webhook.AppendElement(nil, raw, e); err != nil {
			var v map[string]any
			if utf8.Valid(raw) && json.Unmarshal(raw, &v) == nil && v != nil && depth(v) <= webhook.DefaultDepth {
				t.Fatalf("%q was refused: %v", raw, err)
			}
			return
		}
		if duplicateKeys(raw) {
			return // encoding/json merges what is written twice
		}
		checkMeaning(t, raw, e)
	})
}

// FuzzElement: Element is AppendElement without an edit, also where it gives
// back what it was given.
func FuzzElement(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	for _, s := range samples() {
		f.Add([]byte(s.element))
		written, _ := webhook.AppendElement(nil, []byte(s.element), webhook.Edit{})
		f.Add(written)
	}
	for _, s := range []string{
		`{"a":"\u00E9"}`, `{"a":"\u00e9\/\"\\"}`, `{"a" :1}`, ` {"a":1}`, `{"a":"/"}`, `{"a":"b c"}`, `{"a":"\u12"}`, `{"a":"\`, `{}`, `"a"`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		got, err := webhook.Element(raw)
		want, wrong := webhook.AppendElement(nil, raw, webhook.Edit{})
		if fmt.Sprint(err) != fmt.Sprint(wrong) || err == nil && !bytes.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q, %v", raw, got, err, want, wrong)
		}
		if !bytes.Equal(raw, given) {
			t.Errorf("%q became %q", given, raw)
		}
		if err != nil || bytes.Equal(raw, want) == (&got[0] == &raw[0]) {
			return
		}
		t.Errorf("%q: given back %v, is in the form %v", raw, &got[0] == &raw[0], bytes.Equal(raw, want))
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

// duplicateKeys reports whether decoding and encoding drops a member.
func duplicateKeys(raw []byte) bool {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return true
	}
	colons := 0
	inString, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case c == ':' && !inString:
			colons++
		}
	}
	return colons != countMembers(v)
}

func countMembers(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			n += 1 + countMembers(inner)
		}
	case []any:
		for _, inner := range v {
			n += countMembers(inner)
		}
	}
	return n
}
