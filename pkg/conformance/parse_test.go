package conformance_test

import (
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/conformance"
)

const good = `
- row: "45"
  in: [h]
  says: the primary takes
  source: protocol 6.12
  given:
    - own: B
  when:
    - {call: take, by: A, metadata: m, answer: success, heard: {B: take B>A m}, owner: A, until: 24h}
`

func TestParseReadsAVector(t *testing.T) {
	t.Parallel()
	list, err := conformance.Parse("good.yaml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	v := list[0]
	step := v.When[0]
	if v.Name() != "row 45" || step.Heard["B"][0].String() != "messaging take B>A m" || step.Answer.String() != "success" ||
		step.Until.In.Hours() != 24 {
		t.Errorf("read %+v", v)
	}
}

// TestParseNamesTheLine plants one fault after the other into a good vector.
func TestParseNamesTheLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, planted, want string }{
		{"says:", "sais:", `bad.yaml:4: unknown field "sais"`},
		{"in: [h]", "in: [h, x]", `bad.yaml:2: row 45: "x" is no mode`},
		{"in: [h]", "in: [h, h]", `bad.yaml:2: row 45: "h" is no mode, or stands twice`},
		{"in: [h]", "in: []", `bad.yaml:2: row 45: in names no mode`},
		{"says: the primary takes", "says: ''", `bad.yaml:2: row 45: says and source are needed`},
		{"call: take", "call: grab", `bad.yaml:9: a step is one call`},
		{"call: take", "call: take, inbox: main", `bad.yaml:9: a step is one call`},
		{"metadata: m", "items: [m]", `bad.yaml:9: items does not go with call take`},
		{"by: A", "by: Q", `bad.yaml:9: a call is by an app`},
		{"answer: success", "answer: yes!", `bad.yaml:9: "yes!" is no answer`},
		{"answer: success", "answer: refused politely", `bad.yaml:9: unknown refusal "politely"`},
		{"take B>A m", "take B A", `bad.yaml:9: "take B A" is no delivery`},
		{"take B>A m", "pass B>Q", `is no delivery`},
		{"{B: take", "{Q: take", `bad.yaml:9: heard: unknown app "Q"`},
		{"owner: A", "owner: nobody", `bad.yaml:9: unknown owner "nobody"`},
		{"owner: A, until: 24h", "owner: idle, until: 24h", `bad.yaml:9: nobody's control lasts`},
		{", owner: A, until: 24h", "", `bad.yaml:9: row 45: the last step has to say who is the owner`},
		{"until: 24h", "until: soon", `"soon" is not a duration`},
		{"until: 24h", "until: -1h", `that is never`},
		{"- own: B", "- {own: B, owner: B}", `bad.yaml:7: owner does not go with own`},
		{"- own: B", "- {call: take, by: B, owner: B}", `bad.yaml:7: what is given is not compared`},
		{`- row: "45"`, "- row: \"45\"\n  story: x", `bad.yaml:2: a vector is a row or a story`},
		{`- row: "45"`, "- row: \"45\"\n  page: {switches: [magic]}", `unknown switch "magic"`},
		{`- row: "45"`, "- row: \"45\"\n  page: {ads: {\"1\": {app: B, days: 31}}}", `1 to 30 days`},
		{`- row: "45"`, "- row: \"45\"\n  row: \"46\"", `bad.yaml:3: mapping key "row" already defined`},
		{"own: B", "own: [B]", `bad.yaml:7: `},
	} {
		text := strings.Replace(good, c.old, c.planted, 1)
		if text == good {
			t.Fatalf("%q is not in the vector", c.old)
		}
		if _, err := conformance.Parse("bad.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", c.planted, c.want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("- {story: x, in: [z], when: [{race: [{call: send}]}]}"))
	f.Add([]byte("- &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := conformance.Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		for i := range list {
			if list[i].Name() == "" || len(list[i].When) == 0 {
				t.Errorf("accepted %+v", list[i])
			}
		}
	})
}

func TestServerNamesEveryFault(t *testing.T) {
	t.Parallel()
	if _, err := conformance.ParseServer("kit.yaml", []byte("url: x\nwebhok: /w\n")); err == nil ||
		!strings.Contains(err.Error(), `kit.yaml:2: unknown field "webhok"`) {
		t.Errorf("got %v", err)
	}
	for _, c := range []struct{ text, want string }{
		{"url: nowhere", `url "nowhere" is not the URL`},
		{"url: http://h", "platform.app_id and platform.app_secret"},
		{"url: http://h\nplatform: {app_id: '1', app_secret: s}", "pages: none"},
		{"url: http://h\nplatform: {app_id: '1', app_secret: s}\nbaton: {admin: http://a}\napps: {A: {id: '2', secret: s}}", "Baton is given the kit's own"},
		{"url: http://h\nplatform: {app_id: '1', app_secret: s}\npages: [{id: '3', mode: h, tokens: {A: t}}]", "which apps does not describe"},
		{"url: http://h\nplatform: {app_id: '1', app_secret: s}\napps: {A: {id: x, secret: s}}\npages: [{id: '3', mode: q}]", "apps.A"},
	} {
		s, err := conformance.ParseServer("kit.yaml", []byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", c.text, c.want, err)
		}
	}
}
