package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/webhook"
)

// TestBadInputOverHTTP: each documented refusal has its status, code, subcode
// and text, and changes nothing: neither the thread, nor the log but for its
// audit, nor what the person sees.
func TestBadInputOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"handover": "mode: handover, primary: $A", "routing": "mode: conversation_routing, default_app: $A"})
	c := s.passed(t, "handover")
	to, long := c.to(), strings.Repeat("x", 2001)
	position := func() string {
		var shown struct {
			Thread map[string]any
		}
		d := &desk{t: t, admin: s.node.adminURL()}
		out := d.ok("-o json thread show " + fmt.Sprintf("%d %d", c.asset, c.person))
		if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.Thread["owner"] == "" {
			t.Fatal(out, err)
		}
		return fmt.Sprintf("%+v", shown)
	}
	before := position()
	token, other := siteToken("C", "handover"), siteToken("B", "handover")
	for name, bad := range map[string]struct {
		token, method, path, body string
		status, code, subcode     int
		text                      string
	}{
		"no token":              {"", "POST", "/me/messages", `{` + to + `,` + hello + `}`, 400, 190, 0, "An access token is required"},
		"unknown token":         {"nobodys", "POST", "/me/messages", `{` + to + `,` + hello + `}`, 400, 190, 0, "Invalid OAuth access token"},
		"wrong proof":           {token, "POST", "/me/messages?appsecret_proof=00", `{` + to + `,` + hello + `}`, 400, 100, 0, "Invalid appsecret_proof provided in the API argument"},
		"another page":          {token, "POST", "/42/messages", `{` + to + `,` + hello + `}`, 400, 100, 33, "does not exist"},
		"another page's token":  {siteToken("A", "routing"), "POST", fmt.Sprintf("/%d/messages", c.asset), `{` + to + `,` + hello + `}`, 400, 100, 33, "does not exist"},
		"no JSON":               {token, "POST", "/me/messages", `{`, 400, 100, 0, "is not valid JSON"},
		"no recipient":          {token, "POST", "/me/messages", `{` + hello + `}`, 400, 100, 0, "recipient"},
		"malformed recipient":   {token, "POST", "/me/messages", `{"recipient":{"id":"12a"},` + hello + `}`, 400, 100, 2018001, "No matching user found"},
		"recipient a list":      {token, "POST", "/me/take_thread_control", `{"recipient":[5]}`, 400, 100, 2018001, "No matching user found"},
		"action and message":    {token, "POST", "/me/messages", `{` + to + `,` + hello + `,"sender_action":"typing_on"}`, 400, 100, 2018014, "Cannot send both message and state at the same time"},
		"empty message":         {token, "POST", "/me/messages", `{` + to + `,"message":{}}`, 400, 100, 0, "Message cannot be empty"},
		"text too long":         {token, "POST", "/me/messages", `{` + to + `,"message":{"text":"` + long + `"}}`, 400, 100, 0, "Length of param message[text]"},
		"retired tag":           {token, "POST", "/me/messages", `{` + to + `,"messaging_type":"MESSAGE_TAG","tag":"ACCOUNT_UPDATE",` + hello + `}`, 400, 100, 0, "no longer available"},
		"not the owner":         {other, "POST", "/me/messages", `{` + to + `,` + hello + `}`, 400, 10, 2018300, "(#10) Message failed to send because another app is controlling this thread now."},
		"action, not the owner": {other, "POST", "/me/messages", `{` + to + `,"sender_action":"TYPING_ON"}`, 400, 10, 2018300, "another app is controlling this thread now"},
		"take":                  {other, "POST", "/me/take_thread_control", `{` + to + `}`, 400, 10, 0, "(#10) Application does not have permission for this action"},
		"pass, not the owner":   {other, "POST", "/me/pass_thread_control", `{` + to + `,` + pass("A") + `}`, 400, 100, 2534037, "The action is invalid since it's not the thread owner."},
		"release, not owner":    {other, "POST", "/me/release_thread_control", `{` + to + `}`, 400, 100, 2534037, "not the thread owner"},
		"extend, not owner":     {other, "POST", "/me/extend_thread_control", `{` + to + `,"duration":60}`, 400, 100, 2534037, "not the thread owner"},
		"pass to oneself":       {token, "POST", "/me/pass_thread_control", `{` + to + `,` + pass("C") + `}`, 400, 100, 2018164, "Incorrect App ID"},
		"unknown target":        {token, "POST", "/me/pass_thread_control", `{` + to + `,"target_app_id":"5"}`, 400, 100, 2018164, "Incorrect App ID"},
		"target a word":         {token, "POST", "/me/pass_thread_control", `{` + to + `,"target_app_id":"x"}`, 400, 100, 2018164, "Incorrect App ID"},
		"no target":             {token, "POST", "/me/pass_thread_control", `{` + to + `}`, 400, 100, 0, "target_app_id is required"},
		"metadata too long":     {token, "POST", "/me/pass_thread_control", `{` + to + `,` + pass("A") + `,"metadata":"` + long + `"}`, 400, 100, 0, "metadata"},
		"request by the owner":  {token, "POST", "/me/request_thread_control", `{` + to + `}`, 400, 100, 0, "already controls"},
		"duration too long":     {token, "POST", "/me/extend_thread_control", `{` + to + `,"duration":604801}`, 400, 100, 0, "Param duration must be an integer"},
		"duration zero":         {token, "POST", "/me/extend_thread_control", `{` + to + `,"duration":0}`, 400, 100, 0, "Param duration"},
		"duration a word":       {token, "POST", "/me/extend_thread_control", `{` + to + `,"duration":"x"}`, 400, 100, 0, "Param duration"},
		"thread_control":        {token, "POST", "/me/messages", `{` + to + `,` + hello + `,"thread_control":{"control_type":"pass"}}`, 400, 100, 0, "thread_control"},
		"receivers hidden":      {other, "GET", "/me/secondary_receivers?recipient=1", "", 200, 0, 0, siteID("B").String()},
		"page menu":             {other, "POST", "/me/messenger_profile", `{"get_started":{"payload":"x"}}`, 400, 10, 0, "does not have permission"},
		"user menu":             {other, "POST", "/me/custom_user_settings", fmt.Sprintf(`{"psid":"%d","persistent_menu":[{"locale":"default","call_to_actions":[{"type":"postback","title":"T","payload":"P"}]}]}`, c.person), 400, 10, 2018336, ""},
		"a wrong method":        {token, "GET", "/me/take_thread_control", "", 400, 100, 33, ""},
		"an unknown edge":       {token, "POST", "/me/no_such_edge", `{}`, 400, 100, 33, ""},
		"thread of nobody":      {token, "GET", "/me/thread_owner?recipient=abc", "", 400, 100, 2018001, "No matching user found"},
	} {
		status, answer := request(t, bad.method, s.node.publicURL()+"/v25.0"+bad.path, bad.token, bad.body)
		var e struct {
			Error struct {
				Message, Type string
				Code          int
				Error_subcode int
				Fbtrace_id    string
				Error_data    any
			}
		}
		if err := json.Unmarshal([]byte(answer), &e); err != nil {
			t.Errorf("%s: %v in %s", name, err, answer)
		}
		_, data := e.Error.Error_data.(string)
		if status != bad.status || e.Error.Code != bad.code || e.Error.Error_subcode != bad.subcode || !strings.Contains(answer, bad.text) ||
			status != 200 && (e.Error.Fbtrace_id == "" || e.Error.Type == "" || e.Error.Error_data != nil && !data) {
			t.Errorf("%s: %d %s, want %d %d/%d %q", name, status, answer, bad.status, bad.code, bad.subcode, bad.text)
		}
	}
	if after := position(); after != before {
		t.Errorf("the thread was\n%s\nand is\n%s", before, after)
	}
	if lines, err := s.node.simulator.Transcript(c.asset, c.person); err != nil || len(lines) != 1 {
		t.Errorf("the person sees %v, %v", lines, err)
	}
	t.Log("unknown parameters are ignored")
	c.ok("C", "messages", hello+`,"id":"1","format":"json","persona":null,"options":{},"metadata":"undefined"`)
}

// TestWebhooksThatAreForgedOrComeAgain: they change nothing: without the platform's
// signature they are refused, and one that comes twice is heard once.
func TestWebhooksThatAreForgedOrComeAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"handover": "mode: handover, primary: $A"})
	c := s.chat(t, "handover")
	body := fmt.Appendf(nil, `{"object":"page","entry":[{"id":"%d","time":1790000000123,"messaging":[{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":%d,"message":{"mid":"m_forged","text":"once"}}]}]}`,
		c.asset, c.person, c.asset, time.Now().UnixMilli())
	push := func(signature string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.node.publicURL()+"/webhook", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if signature != "" {
			r.Header.Set(webhook.Header256, signature)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, signature := range []string{"", "sha256=00", webhook.Sign256([]byte("another-secret"), body), webhook.Sign256([]byte("secret-A"), body)} {
		if status := push(signature); status != http.StatusForbidden {
			t.Errorf("%q: %d", signature, status)
		}
	}
	if got := c.owner(); got != "" {
		t.Errorf("a forged webhook gave %s control", got)
	}
	for range 3 {
		if status := push(webhook.Sign256([]byte("platform-secret"), body)); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	c.sees(map[string][]string{"A": {"messaging message once"}, "B": {"standby message once"}})
}
