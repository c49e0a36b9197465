package conformance

import "testing"

func TestDiffersNamesTheFirstDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want any
		got  string
		text string
	}{
		{map[string]any{"a": 1, "b": []any{"x"}}, `{"b":["x"],"a":1}`, ""},
		{map[string]any{"id": uint64(17841400000000001)}, `{"id":17841400000000000}`, "id: want 17841400000000001, got 17841400000000000"},
		{map[string]any{"a": nil}, `{"a":null}`, ""},
		{map[string]any{"a": nil}, `{}`, ".a: missing, want null"},
		{map[string]any{}, `{"a":null}`, ".a: not expected, got null"},
		{map[string]any{"a": "1"}, `{"a":1}`, `a: want "1", got 1`},
		{map[string]any{"a": []any{1, 2}}, `{"a":[1]}`, "a: want [1,2], got [1]"},
		{map[string]any{"a": someText}, `{"a":""}`, `a: want a text, got ""`},
		{map[string]any{"a": someNumber}, `{"a":"7"}`, `a: want a number, got "7"`},
		{map[string]any{"a": something}, `{"a":null}`, "a: want something, got null"},
		{map[string]any{"a": map[string]any{"b": true}}, `{"a":{"b":false}}`, "a.b: want true, got false"},
	} {
		got, err := decode([]byte(c.got))
		if err != nil {
			t.Fatal(err)
		}
		if d := differs(c.want, got); d != c.text {
			t.Errorf("%v and %s: %q, want %q", c.want, c.got, d, c.text)
		}
	}
}

func TestRefusalComparesStatusCodeSubcodeAndText(t *testing.T) {
	t.Parallel()
	r, err := refusal("not_owner")
	if err != nil {
		t.Fatal(err)
	}
	const text = `(#100) The action is invalid since it's not the thread owner.`
	for body, want := range map[string]bool{
		`{"error":{"message":"` + text + `","type":"OAuthException","code":100,"error_subcode":2534037,"fbtrace_id":"x"}}`: true,
		`{"error":{"message":"` + text + `","type":"OAuthException","code":10,"error_subcode":2534037}}`:                   false,
		`{"error":{"message":"` + text + `","type":"OAuthException","code":100}}`:                                          false,
		`{"error":{"message":"other","type":"OAuthException","code":100,"error_subcode":2534037}}`:                         false,
		`{"error":{"message":"` + text + `","type":"Exception","code":100,"error_subcode":2534037}}`:                       false,
		`{"success":true}`: false,
	} {
		v, err := decode([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.matches(400, v); got != want {
			t.Errorf("%s: %v", body, got)
		}
		if r.matches(200, v) {
			t.Errorf("status 200 is taken for a refusal")
		}
	}
}
