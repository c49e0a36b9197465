package webhook_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

func TestAppendElementWritesThePlatformsForm(t *testing.T) {
	t.Parallel()
	echo := webhook.Edit{SetEcho: true, EchoApp: 700000000000002, Metadata: "order \"42\"/é"}
	tests := []struct {
		name, in string
		edit     webhook.Edit
		want     string
	}{
		{"text", ` { "text" : "café 😀 https://ex.test/a" } `, webhook.Edit{}, `{"text":"caf\u00e9 \ud83d\ude00 https:\/\/ex.test\/a"}`},
		{"escapes stay", `{"a":"\u00E9\uD83D\uDE00\/\"\\\n\u2764\ud800"}`, webhook.Edit{}, `{"a":"\u00e9\ud83d\ude00\/\"\\\n\u2764\ud800"}`},
		{"numbers and unknown fields stay", `{"n":17841400000000001,"f":1.50e+10,"x":[true,null,{"k":-0}]}`, webhook.Edit{}, `{"n":17841400000000001,"f":1.50e+10,"x":[true,null,{"k":-0}]}`},
		{"keys too", `{"é/":1}`, webhook.Edit{}, `{"\u00e9\/":1}`},
		{"payload goes", `{"postback":{"mid":"m","payload":"P","title":"T"},"payload":1}`, webhook.Edit{DropPayload: true}, `{"postback":{"mid":"m","title":"T"},"payload":1}`},
		{"an escaped payload too", `{"postback":{"p\u0061yload":"P"}}`, webhook.Edit{DropPayload: true}, `{"postback":{}}`},
		{"payload of a quick reply stays", `{"message":{"quick_reply":{"payload":"P"}}}`, webhook.Edit{DropPayload: true}, `{"message":{"quick_reply":{"payload":"P"}}}`},
		{
			"echo", `{"message":{"mid":"m","app_id":"1","metadata":"baton1:3-4","text":"x"}}`, echo,
			`{"message":{"mid":"m","text":"x","app_id":700000000000002,"metadata":"order \"42\"\/\u00e9"}}`,
		},
		{
			"echo without metadata", `{"message":{"app_id":1,"metadata":"baton1:3-4","metadata":"baton1:3-4"}}`,
			webhook.Edit{SetEcho: true, EchoApp: 5},
			`{"message":{"app_id":5}}`,
		},
		{"echo of nobody", `{"message":{"app_id":1,"text":""}}`, webhook.Edit{SetEcho: true}, `{"message":{"text":""}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.AppendElement([]byte("> "), []byte(test.in), test.edit)
			if err != nil || string(got) != "> "+test.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestAppendElementRefusesWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, in := range []string{``, `1`, `[]`, `{`, `{"a":1}x`} {
		if got, err := webhook.AppendElement([]byte("kept"), []byte(in), webhook.Edit{}); err == nil || string(got) != "kept" {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestAppendHandoverWritesTheDocumentedEvents(t *testing.T) {
	t.Parallel()
	h := webhook.Handover{Asset: asset, Person: person, At: 1790000000500, Previous: 700000000000001, New: 700000000000002, Metadata: "order 42"}
	head := `{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":1790000000500,`
	as := func(change func(*webhook.Handover)) webhook.Handover { c := h; change(&c); return c }
	tests := []struct {
		name string
		h    webhook.Handover
		want string
	}{
		{
			"pass", as(func(h *webhook.Handover) { h.Verb = webhook.HandoverPass }),
			head + `"pass_thread_control":{"previous_owner_app_id":"700000000000001","new_owner_app_id":"700000000000002","metadata":"order 42"}}`,
		},
		{
			"pass from idle, no metadata", as(func(h *webhook.Handover) { h.Verb, h.Previous, h.Metadata = webhook.HandoverPass, 0, "" }),
			head + `"pass_thread_control":{"previous_owner_app_id":null,"new_owner_app_id":"700000000000002"}}`,
		},
		{
			"take, numbers", as(func(h *webhook.Handover) { h.Verb, h.NumericIDs = webhook.HandoverTake, true }),
			head + `"take_thread_control":{"previous_owner_app_id":700000000000001,"new_owner_app_id":700000000000002,"metadata":"order 42"}}`,
		},
		{
			"request", as(func(h *webhook.Handover) { h.Verb = webhook.HandoverRequest }),
			head + `"request_thread_control":{"requested_owner_app_id":"700000000000002","metadata":"order 42"}}`,
		},
		{
			"metadata", as(func(h *webhook.Handover) { h.Verb = webhook.HandoverMetadata }),
			head + `"pass_thread_metadata":{"sender_app_id":"700000000000001","metadata":"order 42"}}`,
		},
		{
			"roles", as(func(h *webhook.Handover) { h.Verb, h.Role = webhook.HandoverRoles, "primary_receiver" }),
			`{"recipient":{"id":"100200300400500"},"timestamp":1790000000500,"app_roles":{"700000000000002":["primary_receiver"]}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, string(webhook.AppendHandover(nil, test.h))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What Baton writes as an event of control, Baton reads as one.
func TestHandoverSurvivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	h := webhook.Handover{Verb: webhook.HandoverPass, Asset: asset, Person: person, At: 1790000000500, New: 3, Metadata: "é \"/\x01😀"}
	b := webhook.AppendBody(nil, control.ObjectPage, control.ChannelMessaging, false,
		[]webhook.Entry{{Asset: asset, Time: 1790000000501, Element: webhook.AppendHandover(nil, h)}})
	e := parse(t, b)[0]
	if e.Kind != control.KindPlatformPass || e.NewOwner != 3 || e.PreviousOwner != 0 || e.Metadata != h.Metadata || e.EntryTime != 1790000000501 {
		t.Errorf("event = %+v", e)
	}
}

func TestAppendBodyHoldsOneEventPerEntry(t *testing.T) {
	t.Parallel()
	entries := []webhook.Entry{{Asset: 1, Time: 1790000000123, Element: []byte(`{"a":1}`)}, {Asset: 2, Time: 1790000000124, Element: []byte(`{"b":2}`)}}
	tests := []struct {
		channel control.Channel
		empty   bool
		want    string
	}{
		{control.ChannelMessaging, true, `{"object":"instagram","entry":[{"id":"1","time":1790000000123,"messaging":[{"a":1}]},{"id":"2","time":1790000000124,"messaging":[{"b":2}]}]}`},
		{control.ChannelStandby, false, `{"object":"instagram","entry":[{"id":"1","time":1790000000123,"standby":[{"a":1}]},{"id":"2","time":1790000000124,"standby":[{"b":2}]}]}`},
		{control.ChannelStandby, true, `{"object":"instagram","entry":[{"id":"1","time":1790000000123,"messaging":[],"standby":[{"a":1}]},{"id":"2","time":1790000000124,"messaging":[],"standby":[{"b":2}]}]}`},
	}
	for _, test := range tests {
		got := webhook.AppendBody(nil, control.ObjectInstagram, test.channel, test.empty, entries)
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Error(diff)
		}
	}
}

// meaning decodes JSON with the digits of its numbers.
func meaning(t *testing.T, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	return v
}

// edited does to a decoded element what AppendElement does to its bytes.
func edited(v any, e webhook.Edit) any {
	element, _ := v.(map[string]any)
	if postback, ok := element["postback"].(map[string]any); ok && e.DropPayload {
		delete(postback, "payload")
	}
	if message, ok := element["message"].(map[string]any); ok && e.SetEcho {
		delete(message, "app_id")
		delete(message, "metadata")
		if e.EchoApp != 0 {
			message["app_id"] = json.Number(e.EchoApp.String())
		}
		if e.Metadata != "" {
			message["metadata"] = e.Metadata
		}
	}
	return v
}

func checkMeaning(t *testing.T, raw []byte, e webhook.Edit) {
	t.Helper()
	got, err := webhook.AppendElement(nil, raw, e)
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	for _, c := range got {
		if c < 0x20 || c > 0x7e && c != 0x7f {
			t.Fatalf("%q is not ASCII", got)
		}
	}
	if i := strings.IndexByte(string(got), '/'); i >= 0 && got[i-1] != '\\' {
		t.Fatalf("%q holds a bare slash", got)
	}
	if diff := cmp.Diff(edited(meaning(t, raw), e), meaning(t, got)); diff != "" {
		t.Errorf("%q\n%s", raw, diff)
	}
	again, err := webhook.AppendElement(nil, got, e)
	if err != nil || !bytes.Equal(again, got) {
		t.Errorf("not stable: %q, then %q, %v", got, again, err)
	}
}
