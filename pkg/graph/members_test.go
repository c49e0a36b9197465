package graph

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// standardMembers are the members as encoding/json finds them.
func standardMembers(t *testing.T, object []byte) (all []member) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		m := member{key: name}
		if err != nil || !ok || d.Decode(&m.value) != nil {
			t.Fatalf("%q is no valid object", object)
		}
		m.to = int(d.InputOffset())
		m.from = m.to - len(m.value)
		all = append(all, m)
	}
	return all
}

// FuzzMembers: of every valid JSON the members, their places and the texts of
// their values are those that encoding/json finds; nothing else panics.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{"recipient":{"id":"1"},"target_app_id":"2"}`, ` { "a" : [ 1 , {"b":"}"} ] , "a":null,"":"\"\\" } `, `{}`, `[{"a":1}]`, `"{"`, `7`,
		`{"\u0061\ud800":"\ud83d\ude00é","n":-1.5e+3,"t":true}`, `{"a"`, `{"a":"`, `{"a":[`, `{"a":1]`, `{:}`, `{"a":,"b"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := slices.Collect(members(data))
		if checkJSON(data, 32) != nil {
			return
		}
		want := standardMembers(t, data)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(member{})); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", data, diff)
		}
		for _, m := range got {
			var text string
			fits := m.value[0] == '"' && json.Unmarshal(m.value, &text) == nil
			if s, ok := stringOf(m.value); s != text || ok != fits {
				t.Errorf("%q is %q %v, want %q %v", m.value, s, ok, text, fits)
			}
		}
	})
}

// BenchmarkDecodePass is what reading a pass_thread_control costs.
func BenchmarkDecodePass(b *testing.B) {
	query := url.Values{"access_token": {"EAAB1234567890"}}
	body := []byte(`{"recipient":{"id":"100200300400500"},"target_app_id":"700000000000002"}`)
	b.ReportAllocs()
	for b.Loop() {
		p, err := DecodeParams("POST", query, "application/json", body, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if call, err := DecodePass(p); err != nil || call.Target != 700000000000002 || p.Token("") == "" {
			b.Fatal(call, err)
		}
	}
}
