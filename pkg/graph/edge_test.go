package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/graph"
)

func body(t *testing.T, json string) graph.Params {
	t.Helper()
	return decode(t, "POST", "", jsonType, json)
}

func TestControlEdges(t *testing.T) {
	t.Parallel()
	p := body(t, `{"recipient":{"id":17841400000000001},"metadata":"m","target_app_id":"5","duration":"3600","extra":[1]}`)
	const person = 17841400000000001
	pass, err1 := graph.DecodePass(p)
	take, err2 := graph.DecodeTake(p)
	request, err3 := graph.DecodeRequest(p)
	release, err4 := graph.DecodeRelease(p)
	extend, err5 := graph.DecodeExtend(p)
	metadata, err6 := graph.DecodePassMetadata(p)
	owner, err7 := graph.DecodeOwnerQuery(p)
	got := []any{pass, err1, take, err2, request, err3, release, err4, extend, err5, metadata, err6, owner, err7}
	want := []any{
		graph.Pass{Recipient: person, Target: 5, Metadata: "m"},
		error(nil),
		graph.Take{Recipient: person, Metadata: "m"},
		error(nil),
		graph.Request{Recipient: person, Metadata: "m"},
		error(nil),
		graph.Release{Recipient: person, Metadata: "m"},
		error(nil),
		graph.Extend{Recipient: person, Seconds: 3600},
		error(nil),
		graph.PassMetadata{Recipient: person, Target: 5, Metadata: "m"},
		error(nil),
		graph.OwnerQuery{Recipient: person},
		error(nil),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e, err := graph.DecodeExtend(body(t, `{"recipient":{"id":"1"}}`)); err != nil || e.Seconds != graph.DefaultExtension {
		t.Errorf("%+v, %v", e, err)
	}
	if p, err := graph.DecodePass(body(t, `{"recipient":{"id":"1"}}`)); err != nil || p.Target != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	q := graph.DecodeReceiversQuery(decode(t, "GET", "platform=INSTAGRAM", "", ""))
	if diff := cmp.Diff(graph.ReceiversQuery{Fields: []string{"id", "name"}, Platform: "instagram"}, q); diff != "" {
		t.Error(diff)
	}
}

func TestControlEdgesRefuse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", graph.MaxMetadata)
	if _, err := graph.DecodeTake(body(t, `{"recipient":{"id":"1"},"metadata":"`+long+`"}`)); err != nil {
		t.Errorf("metadata of the full length: %v", err)
	}
	pass := func(p graph.Params) error { _, err := graph.DecodePass(p); return err }
	extend := func(p graph.Params) error { _, err := graph.DecodeExtend(p); return err }
	metadata := func(p graph.Params) error { _, err := graph.DecodePassMetadata(p); return err }
	tests := []struct {
		call          func(graph.Params) error
		body          string
		code, subcode int
		message       string
	}{
		{pass, `{}`, 100, 0, "(#100) The parameter recipient is required"},
		{pass, `{"recipient":{}}`, 100, 2018001, "(#100) No matching user found"},
		{pass, `{"recipient":{"user_ref":"u"}}`, 100, 2018001, "(#100) No matching user found"},
		{pass, `{"recipient":{"id":"PSID"}}`, 100, 2018001, "(#100) No matching user found"},
		{pass, `{"recipient":{"id":1e5}}`, 100, 2018001, "(#100) No matching user found"},
		{pass, `{"recipient":{"id":"18446744073709551616"}}`, 100, 2018001, "(#100) No matching user found"},
		{pass, `{"recipient":"{id"}`, 100, 0, "(#100) Param recipient must be valid JSON: neither JSON nor a relaxed object (offset 3)"},
		{pass, `{"recipient":{"id":"1"},"target_app_id":"x"}`, 100, 2018164, "(#100) Incorrect App ID."},
		{pass, `{"recipient":{"id":"1"},"target_app_id":2.5}`, 100, 2018164, "(#100) Incorrect App ID."},
		{pass, `{"recipient":{"id":"1"},"metadata":"` + long + `x"}`, 100, 0, "(#100) Length of param metadata must be less than or equal to 2000"},
		{extend, `{"recipient":{"id":"1"},"duration":"x"}`, 100, 0, "(#100) Param duration must be an integer of 1 to 604800 seconds"},
		{extend, `{"recipient":{"id":"1"},"duration":1.5}`, 100, 0, "(#100) Param duration must be an integer of 1 to 604800 seconds"},
		{metadata, `{"recipient":{"id":"1"},"metadata":"m"}`, 100, 0, "(#100) The parameter target_app_id is required"},
		{metadata, `{"recipient":{"id":"1"},"target_app_id":1}`, 100, 0, "(#100) The parameter metadata is required"},
	}
	for _, test := range tests {
		e := graph.AsError(test.call(body(t, test.body)))
		if e.Code != test.code || e.Subcode != test.subcode || e.Message != test.message || e.Status != 400 {
			t.Errorf("%s: %d %+v", test.body, e.Status, e)
		}
	}
}

func TestDecodeMessage(t *testing.T) {
	t.Parallel()
	template := `{"attachment":{"type":"template","payload":{"template_type":"generic","elements":[` +
		`{"title":"a","buttons":[{"type":"postback","title":"x","payload":"P1"},{"type":"web_url","url":"u","payload":"no"}]},` +
		`{"title":"b","buttons":[{"payload":"P2","title":"y","type":"POSTBACK"}]}]}},` +
		`"quick_replies":[{"content_type":"text","title":"z","payload":"Q1"}],"metadata":"mine"}`
	tests := []struct {
		name, body string
		want       graph.Message
	}{
		{
			"text", `{"recipient":{"id":"1"},"messaging_type":"response","message":{"text":"hi","metadata":"mine"},"persona_id":"7"}`,
			graph.Message{Type: "RESPONSE", PersonaID: "7", Message: []byte(`{"text":"hi","metadata":"mine"}`), Metadata: "mine", Text: "hi"},
		},
		{
			"no messaging type", `{"recipient":{"id":"1"},"message":{"text":"hi"}}`,
			graph.Message{Type: "RESPONSE", Message: []byte(`{"text":"hi"}`), Text: "hi"},
		},
		{"action", `{"recipient":{"id":"1"},"sender_action":"TYPING_ON"}`, graph.Message{Type: "RESPONSE", Action: "typing_on"}},
		{
			"human agent", `{"recipient":{"id":"1"},"messaging_type":"MESSAGE_TAG","tag":"human_agent","message":{"text":"hi"}}`,
			graph.Message{Type: "MESSAGE_TAG", Tag: "HUMAN_AGENT", Message: []byte(`{"text":"hi"}`), Text: "hi"},
		},
		{
			"template", `{"recipient":{"id":"1"},"message":` + template + `}`,
			graph.Message{
				Type: "RESPONSE", Message: []byte(template), Metadata: "mine",
				Buttons: []string{"P1", "P2"}, QuickReplies: []string{"Q1"},
			},
		},
		{
			"pass with the send", `{"recipient":{"id":"1"},"message":{"text":"hi"},"thread_control":{"control_type":"pass","app_id":5}}`,
			graph.Message{Type: "RESPONSE", Message: []byte(`{"text":"hi"}`), Text: "hi", Control: &graph.SendControl{Target: 5}},
		},
		{
			"release by default", `{"recipient":{"id":"1"},"message":{"text":"hi"},"thread_control":{}}`,
			graph.Message{Type: "RESPONSE", Message: []byte(`{"text":"hi"}`), Text: "hi", Control: &graph.SendControl{Release: true}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := graph.DecodeMessage(body(t, test.body))
			if err != nil || got.Check() != nil || got.Recipient.ID != 1 || string(got.Recipient.Raw) != `{"id":"1"}` {
				t.Fatalf("%v, %v, %+v", err, got.Check(), got.Recipient)
			}
			got.Recipient = graph.Recipient{}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(graph.Message{}), cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecipientsOfSends(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"user_ref", "comment_id", "post_id", "phone_number", "notification_messages_token"} {
		m, err := graph.DecodeMessage(body(t, `{"recipient":{"`+key+`":"x"},"message":{"text":"hi"}}`))
		if err != nil || m.Recipient.Key() != key || m.Recipient.ID != 0 {
			t.Errorf("%s: %+v, %v", key, m.Recipient, err)
		}
	}
	p := decode(t, "POST", "recipient=42&message=%7B%22text%22%3A%22hi%22%7D", "", "")
	if m, err := graph.DecodeMessage(p); err != nil || m.Recipient.ID != 42 || string(m.Recipient.Raw) != `{"id":"42"}` {
		t.Errorf("%+v, %v", m.Recipient, err)
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body          string
		code, subcode int
		message       string
	}{
		{`{"recipient":{"id":"1"},"message":{"text":"x"},"sender_action":"typing_on"}`, 100, 2018014, "(#100) Cannot send both message and state at the same time"},
		{`{"recipient":{"id":"1"}}`, 100, 0, "(#100) One of the parameters message and sender_action is required"},
		{`{"message":{"text":"x"}}`, 100, 0, "(#100) The parameter recipient is required"},
		{`{"recipient":{"id":"bob"},"message":{"text":"x"}}`, 100, 2018001, "(#100) No matching user found"},
		{`{"recipient":{"first":"x"},"message":{"text":"x"}}`, 100, 2018001, "(#100) No matching user found"},
		{`{"recipient":{"id":"1"},"message":[1]}`, 100, 0, "(#100) Param message must be an object"},
		{`{"recipient":{"id":"1"},"message":{"text":"x"},"thread_control":{"control_type":"steal"}}`, 100, 0, "(#100) Param thread_control[control_type] must be one of {pass, release}"},
		{`{"recipient":{"id":"1"},"message":{"text":"x"},"thread_control":{"control_type":"pass","app_id":"x"}}`, 100, 2018164, "(#100) Incorrect App ID."},
		{`{"recipient":{"id":"1"},"message":{"text":"x"},"thread_control":7}`, 100, 0, "(#100) Param thread_control must be an object"},
	}
	for _, test := range tests {
		_, err := graph.DecodeMessage(body(t, test.body))
		e := graph.AsError(err)
		if e.Code != test.code || e.Subcode != test.subcode || e.Message != test.message {
			t.Errorf("%s: %+v", test.body, e)
		}
	}
}

func TestCheckRefusesContent(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("é", n) }
	tests := []struct{ fields, want string }{
		{`"message":{}`, "Message cannot be empty, must provide valid attachment or text"},
		{`"message":{"quick_replies":[]}`, "Message cannot be empty"},
		{`"message":{"text":"x","attachment":{"type":"image"}}`, "text or an attachment, not both"},
		{`"message":{"text":"` + long(2001) + `"}`, "message[text] must be less than or equal to 2000"},
		{`"message":{"text":"x","metadata":"` + long(1001) + `"}`, "message[metadata] must be less than or equal to 1000"},
		{`"message":{"text":"x"},"messaging_type":"SPAM"`, "Param messaging_type must be one of {RESPONSE"},
		{`"message":{"text":"x"},"tag":"SPAM"`, "Param tag must be one of {HUMAN_AGENT"},
		{`"message":{"text":"x"},"tag":"account_update"`, "The tag ACCOUNT_UPDATE is no longer available"},
	}
	for _, test := range tests {
		m, err := graph.DecodeMessage(body(t, `{"recipient":{"id":"1"},`+test.fields+`}`))
		if err != nil {
			t.Fatalf("%.100s: %v", test.fields, err)
		}
		if e := graph.AsError(m.Check()); e.Code != 100 || e.Subcode != 0 || !strings.Contains(e.Message, test.want) {
			t.Errorf("%.100s: %v", test.fields, e)
		}
	}
	for _, fields := range []string{
		`"message":{"text":"` + long(2000) + `"}`, `"message":{"dynamic_text":{"text":"x"}}`, `"message":{"text":"","attachment":{}}`, `"sender_action":"react"`,
	} {
		m, err := graph.DecodeMessage(body(t, `{"recipient":{"id":"1"},`+fields+`}`))
		if err != nil || m.Check() != nil {
			t.Errorf("%.100s: %v, %v", fields, err, m.Check())
		}
	}
}

func survey(change func(map[string]string)) string {
	f := map[string]string{
		"title": `"Rate us"`, "subtitle": `"please"`, "button_title": `"Rate"`, "expires_in_days": `3`,
		"business_privacy": `{"url":"https://ex.test"}`,
		"feedback_screens": `[{"questions":[{"id":"q1","type":"csat","follow_up":{"type":"free_form","placeholder":"p"}}]}]`,
	}
	change(f)
	var b strings.Builder
	b.WriteString(`{"recipient":{"id":"1"},"message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback"`)
	for _, key := range []string{"title", "subtitle", "button_title", "expires_in_days", "business_privacy", "feedback_screens"} {
		if f[key] != "" {
			fmt.Fprintf(&b, `,%q:%s`, key, f[key])
		}
	}
	return b.String() + "}}}}"
}

func TestSurveyTemplate(t *testing.T) {
	t.Parallel()
	m, err := graph.DecodeMessage(body(t, survey(func(map[string]string) {})))
	if diff := cmp.Diff(&graph.Survey{Days: 3, Questions: []string{"q1"}}, m.Survey); diff != "" || err != nil || m.Check() != nil {
		t.Errorf("%v, %v\n%s", err, m.Check(), diff)
	}
	m, err = graph.DecodeMessage(body(t, survey(func(f map[string]string) { f["expires_in_days"] = "" })))
	if err != nil || m.Check() != nil || m.Survey.Days != 1 {
		t.Errorf("%v, %v, %+v", err, m.Check(), m.Survey)
	}
	question := func(inner string) string { return `[{"questions":[` + inner + `]}]` }
	for _, bad := range [][3]string{
		{"title", `"` + strings.Repeat("x", 66) + `"`, "param title"},
		{"title", `7`, "wrong type"},
		{"subtitle", `"` + strings.Repeat("x", 81) + `"`, "param subtitle"},
		{"button_title", `"` + strings.Repeat("x", 21) + `"`, "param button_title"},
		{"business_privacy", "", "business_privacy[url] is required"},
		{"expires_in_days", "0", "expires_in_days"},
		{"expires_in_days", `"8"`, "expires_in_days"},
		{"feedback_screens", "", "exactly one screen"},
		{"feedback_screens", question(`{"id":"a","type":"nps"},{"id":"b","type":"nps"}`), "exactly one screen"},
		{"feedback_screens", question(`{"type":"nps"}`), "questions[id]"},
		{"feedback_screens", question(`{"id":"a","type":"stars"}`), "questions[type]"},
		{"feedback_screens", question(`{"id":"a","type":"ces","follow_up":{"type":"nps"}}`), "follow_up[type]"},
	} {
		m, err := graph.DecodeMessage(body(t, survey(func(f map[string]string) { f[bad[0]] = bad[1] })))
		if err != nil || m.Survey == nil || m.Check() == nil || !strings.Contains(m.Check().Error(), bad[2]) {
			t.Errorf("%v: %v, %v", bad, err, m.Check())
		}
	}
}

func TestPayloadsOfProfiles(t *testing.T) {
	t.Parallel()
	menu := `[{"locale":"default","call_to_actions":[{"type":"postback","title":"a","payload":"P1"},{"type":"nested","call_to_actions":[{"type":"postback","payload":"P2"}]},{"type":"web_url"}]}]`
	if diff := cmp.Diff([]string{"P1", "P2"}, graph.PostbackPayloads([]byte(menu))); diff != "" {
		t.Error(diff)
	}
	ice := `[{"call_to_actions":[{"question":"payload","payload":"P3"},{"question":"b","payload":"P4"}]}]`
	if diff := cmp.Diff([]string{"P3", "P4"}, graph.AllPayloads([]byte(ice))); diff != "" {
		t.Error(diff)
	}
	if got := graph.AllPayloads([]byte(`{"":{"payload":"P5"},"payload":7}`)); len(got) != 1 || got[0] != "P5" {
		t.Error(got)
	}
}

func TestSetMetadataKeepsEveryOtherByte(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{}`:                                    `{"metadata":"baton1:3-4"}`,
		` { "text" : "caf\u00e9 é\/" } `:        ` {"metadata":"baton1:3-4", "text" : "caf\u00e9 é\/" } `,
		`{"a":1, "metadata" : "mine" ,"n":1E5}`: `{"a":1, "metadata" : "baton1:3-4" ,"n":1E5}`,
		`{"metadata":null}`:                     `{"metadata":"baton1:3-4"}`,
		`{"met\u0061data":{"x":[1]}}`:           `{"met\u0061data":"baton1:3-4"}`,
		`{"metadata":1,"b":{"metadata":2},"metadata":"x"}`: `{"metadata":"baton1:3-4","b":{"metadata":2},"metadata":"baton1:3-4"}`,
	} {
		got, err := graph.SetMetadata([]byte(in), "baton1:3-4")
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{``, `[]`, `{`, `"x"`, `{"a":1}x`} {
		if _, err := graph.SetMetadata([]byte(bad), "x"); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
