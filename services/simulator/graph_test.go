package simulator_test

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/services/simulator"
)

func TestMessagesAreRefusedAsThePlatformDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{StrictPeople: true})
	to := `"recipient":{"id":"9001234567890123"}`
	deep := strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)
	for name, c := range map[string]struct {
		body      string
		code, sub int
	}{
		"no recipient":      {`{"message":{"text":"x"}}`, 100, 0},
		"recipient a text":  {`{"recipient":"x","message":{"text":"x"}}`, 100, 0},
		"recipient no id":   {`{"recipient":{"id":"abc"},"message":{"text":"x"}}`, 100, 2018001},
		"unknown person":    {`{"recipient":{"id":"9001234567890199"},"message":{"text":"x"}}`, 100, 2018001},
		"no message":        {`{` + to + `}`, 100, 0},
		"message a number":  {`{` + to + `,"message":5}`, 100, 0},
		"message empty":     {`{` + to + `,"message":{}}`, 100, 0},
		"text and file":     {`{` + to + `,"message":{"text":"x","attachment":{"type":"image","payload":{"url":"u"}}}}`, 100, 0},
		"text too long":     {`{` + to + `,"message":{"text":"` + strings.Repeat("x", 2001) + `"}}`, 100, 0},
		"metadata too long": {`{` + to + `,"message":{"text":"x","metadata":"` + strings.Repeat("x", 1001) + `"}}`, 100, 0},
		"attachment type":   {`{` + to + `,"message":{"attachment":{"type":"song","payload":{}}}}`, 100, 0},
		"nested too deeply": {`{` + to + `,"message":{"attachment":{"type":"image","payload":` + deep + `}}}`, 100, 0},
		"template type":     {`{` + to + `,"message":{"attachment":{"type":"template","payload":{}}}}`, 100, 0},
		"buttons missing":   {`{` + to + `,"message":{"attachment":{"type":"template","payload":{"template_type":"button","text":"x"}}}}`, 100, 0},
		"survey no privacy": {`{` + to + `,"message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback","title":"x"}}}}`, 100, 0},
		"quick reply kind":  {`{` + to + `,"message":{"text":"x","quick_replies":[{"content_type":"song"}]}}`, 100, 0},
		"messaging type":    {`{` + to + `,"messaging_type":"X","message":{"text":"x"}}`, 100, 0},
		"tag missing":       {`{` + to + `,"messaging_type":"MESSAGE_TAG","message":{"text":"x"}}`, 100, 0},
		"tag retired":       {`{` + to + `,"messaging_type":"MESSAGE_TAG","tag":"ACCOUNT_UPDATE","message":{"text":"x"}}`, 100, 0},
		"action and text":   {`{` + to + `,"sender_action":"typing_on","message":{"text":"x"}}`, 100, 2018014},
		"action unknown":    {`{` + to + `,"sender_action":"dance"}`, 100, 0},
		"not JSON":          {`{`, 100, 0},
		"JSON array":        {`[]`, 100, 0},
	} {
		a := w.graph("POST", "/me/messages", c.body)
		if code, sub := a.code(); a.status != 400 || code != c.code || sub != c.sub {
			t.Errorf("%s: %d %v", name, a.status, a.body)
		}
	}
	if lines, _ := w.sim.Transcript(page, person); len(lines) != 1 {
		t.Errorf("transcript %v", lines)
	}
}

func TestTheWindowIs24HoursAndSevenDaysForHumans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	human := `{"recipient":{"id":"9001234567890123"},"messaging_type":"MESSAGE_TAG","tag":"HUMAN_AGENT","message":{"text":"hi"}}`
	forward := func(d time.Duration) {
		t.Helper()
		if _, err := w.sim.Clock(d); err != nil {
			t.Fatal(err)
		}
	}
	forward(23 * time.Hour)
	w.sent("in time")
	forward(2 * time.Hour)
	if code, sub := w.send("late").code(); code != 10 || sub != 2018278 {
		t.Errorf("after 25 h: %d/%d", code, sub)
	}
	if a := w.graph("POST", "/me/messages", human); a.status != 200 {
		t.Errorf("human agent after 25 h: %v", a.body)
	}
	forward(6 * 24 * time.Hour)
	if _, sub := w.graph("POST", "/me/messages", human).code(); sub != 2018278 {
		t.Errorf("human agent after 7 days: subcode %d", sub)
	}
}

func TestTokensAndNodesAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	for path, want := range map[string][2]int{
		"/me/messages?access_token=wrong": {190, 0},
		"/42/messages":                    {100, 33},
		"/v24.0/abc/messages":             {100, 33},
		"/me/no_such_edge":                {2500, 0},
		"/":                               {2500, 0},
		"/v24.0":                          {2500, 0},
		"/me/messages/more":               {2500, 0},
		"/17841400000000001/messages?access_token=" + token: {100, 33},
	} {
		a := w.graph("POST", path, `{"recipient":{"id":"9001234567890123"},"message":{"text":"x"}}`)
		if code, sub := a.code(); a.status != 400 || [2]int{code, sub} != want {
			t.Errorf("%s: %d %v", path, a.status, a.body)
		}
	}
}

func TestParametersMayComeInEveryForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	values := url.Values{
		"access_token": {token}, "recipient": {`{"id":"9001234567890123"}`}, "message": {`{"text":"hi"}`}, "messaging_type": {"RESPONSE"},
	}
	multipart := "--b\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{\"id\":9001234567890123}\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{\"attachment\":{\"type\":\"image\",\"payload\":{}}}\r\n--b--\r\n"
	for name, c := range map[string]struct{ path, kind, body string }{
		"form":      {"/me/messages", "application/x-www-form-urlencoded", values.Encode()},
		"query":     {"/v2.6/me/messages?" + values.Encode(), "", ""},
		"multipart": {"/v24.0/100200300400500/messages?access_token=" + token, "multipart/form-data; boundary=b", multipart},
	} {
		res, err := w.client.Post(w.sim.URL()+c.path, c.kind, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(string(body), `"message_id":"m_`) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

func TestSenderActionsAreAnsweredWithTheRecipientAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	for _, action := range []string{"typing_on", "TYPING_OFF", "mark_seen"} {
		a := w.graph("POST", "/me/messages", fmt.Sprintf(`{"recipient":{"id":"9001234567890123"},"sender_action":%q}`, action))
		if d := cmp.Diff(map[string]any{"recipient_id": "9001234567890123"}, a.body); a.status != 200 || d != "" {
			t.Errorf("%s: %d %s", action, a.status, d)
		}
	}
}

func TestProfilesAndUserSettingsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.writes("hello")
	w.switches(simulator.Switches{StrictPeople: true})
	menu := `[{"locale":"default","call_to_actions":[{"type":"postback","title":"Help","payload":"HELP"}]}]`
	steps := []struct {
		method, path, body string
		want               string
	}{
		{"POST", "/me/messenger_profile", `{"persistent_menu":` + menu + `,"get_started":{"payload":"GO"}}`, `result:success`},
		{"GET", "/me/messenger_profile?fields=get_started,greeting", "", `data:[map[get_started:map[payload:GO]]]`},
		{"DELETE", "/me/messenger_profile", `{"fields":["get_started"]}`, `result:success`},
		{"GET", "/me/messenger_profile?fields=get_started", "", `data:[]`},
		{"POST", "/me/messenger_profile", `{}`, `code:100`},
		{"POST", "/me/messenger_profile", `{"persistent_menu":{}}`, `code:100`},
		{"POST", "/me/custom_user_settings", `{"psid":"9001234567890123","persistent_menu":` + menu + `}`, `result:success`},
		{"GET", "/me/custom_user_settings?psid=9001234567890123", "", `user_level_persistent_menu`},
		{"DELETE", "/me/custom_user_settings?psid=9001234567890123&params=[%22persistent_menu%22]", "", `result:success`},
		{"POST", "/me/custom_user_settings", `{"psid":"9001234567890199","persistent_menu":` + menu + `}`, `error_subcode:2.018001e+06`},
		{"POST", "/100200300400500/subscribed_apps?subscribed_fields=messages,%20standby", "", `success:true`},
		{"GET", "/me/subscribed_apps", "", `subscribed_fields:[messages standby]`},
		{"DELETE", "/me/subscribed_apps", "", `success:true`},
		{"GET", "/me/subscribed_apps", "", `data:[]`},
		{"GET", "/me", "", `name:ACME Air`},
		{"GET", "/v24.0/9001234567890123?fields=first_name", "", `id:9001234567890123`},
		{"GET", "/v24.0/9001234567890199", "", `error_subcode:33`},
		{"GET", "/me/conversations?user_id=9001234567890123", "", `is_owner:true`},
		{"POST", "/me/message_attachments", `{"message":{}}`, `attachment_id:`},
		{"POST", "/me/personas", `{"name":"Lena"}`, `id:`},
		{"POST", "/me/moderate_conversations", `{"user_ids":[],"actions":[]}`, `success:true`},
	}
	for _, s := range steps {
		if got := fmt.Sprint(w.graph(s.method, s.path, s.body).body); !strings.Contains(got, s.want) {
			t.Errorf("%s %s: %s, want %s", s.method, s.path, got, s.want)
		}
	}
}
