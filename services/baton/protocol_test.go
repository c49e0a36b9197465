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
	"github.com/baton-router/baton/services/simulator"
)

// TestProtocolOverHTTP: the inbox both ways, surveys, the messaging window and
// Instagram, with a platform that really does what it is told and apps that
// really hear.
func TestProtocolOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"handover": "mode: handover, primary: $A", "lone": "mode: handover", "zero": "mode: conversation_routing",
		"routing": "mode: conversation_routing, default_app: $A, can_take: [$B]", "ig": "mode: handover, primary: $A",
	})
	quiet := simulator.Switches{DropDeliveries: true, DropReads: true}
	if err := s.node.simulator.SetSwitches(0, quiet); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, *site){ //nolint:paralleltest // one site, asked in turn
		"inbox":          inboxTakes,
		"inbox commands": inboxCommandsMove,
		"inbox mirrored": inboxMirrored,
		"survey held":    surveyHeld,
		"survey dropped": surveyDropped,
		"window":         window,
		"human agent":    humanAgent,
		"instagram":      instagram,
		"buttons":        buttons,
		"zero config":    zeroConfig,
		"default app":    defaultApp,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// awaitOwner waits until an app, the inbox or nobody has control.
func (c *chat) awaitOwner(want string) {
	c.t.Helper()
	admin := c.node.adminURL()
	pattern := map[string]string{"": "idle", "inbox": "-inbox"}[want]
	if pattern == "" {
		pattern = want
	}
	d := &desk{t: c.t, admin: admin}
	d.until(`owner +\S*`+pattern, fmt.Sprintf("thread show %d %d", c.asset, c.person))
}

// inboxTakes: what the platform reports of a human in its inbox moves control.
func inboxTakes(t *testing.T, s *site) {
	c := s.passed(t, "handover")
	sim := s.node.simulator
	if _, err := sim.Reply(c.asset, c.person, "a human here"); err != nil {
		t.Fatal(err)
	}
	c.awaitOwner("inbox")
	c.refused("C", "messages", hello, 10, 2018300)
	heard := c.heard("B", "C")
	for _, want := range []string{"messaging take C>inbox"} {
		if !strings.Contains(fmt.Sprint(heard["C"]), want) {
			t.Errorf("C: no %q in %q", want, heard["C"])
		}
	}
	if !strings.Contains(fmt.Sprint(heard["B"]), "standby echo inbox a human here") {
		t.Errorf("B: %q", heard["B"])
	}
	c.ok("A", "take_thread_control", "")
	c.awaitOwner("A")
}

// inboxCommandsMove: the same by an operator's commands.
func inboxCommandsMove(t *testing.T, s *site) {
	c := s.passed(t, "handover")
	d := &desk{t: t, admin: s.node.adminURL()}
	thread := fmt.Sprintf("%d %d", c.asset, c.person)
	d.ok("inbox main " + thread)
	c.awaitOwner("inbox")
	d.ok("inbox done " + thread)
	c.awaitOwner("A")
	c.sees(map[string][]string{"C": {"standby message hi", "messaging pass A>C", "messaging take C>inbox"}})
	alone := s.chat(t, "lone")
	alone.says("hi")
	thread = fmt.Sprintf("%d %d", alone.asset, alone.person)
	d.ok("inbox main " + thread)
	alone.awaitOwner("inbox")
	d.ok("inbox done " + thread)
	alone.awaitOwner("")
}

// inboxMirrored: what Baton decides about the inbox is told to the platform
// until it agrees, also when it refuses at first.
func inboxMirrored(t *testing.T, s *site) {
	c := s.chat(t, "handover")
	c.says("hi")
	side := func() string {
		person := fmt.Sprint(c.person)
		_, answer := c.platform("GET", fmt.Sprintf("/%d/thread_owner?recipient=%s", c.asset, person))
		return answer
	}
	refusal := simulator.Switches{DropDeliveries: true, DropReads: true, Refuse: &simulator.Refusal{Edge: "pass_thread_control", Status: 503, Code: 2}, Calls: 2}
	if err := s.node.simulator.SetSwitches(c.asset, refusal); err != nil {
		t.Fatal(err)
	}
	c.ok("A", "pass_thread_control", `"target_app_id":"263902037430900"`)
	await(t, func() bool { return strings.Contains(side(), "263902037430900") }, side)
	c.ok("A", "take_thread_control", "")
	await(t, func() bool { return !strings.Contains(side(), "263902037430900") }, side)
	c.ok("A", "messages", hello)
}

const survey = `"message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback","title":"How was it?","subtitle":"tell us","button_title":"Rate","feedback_screens":[{"questions":[{"id":"q1","type":"csat","title":"?","score_label":"neg_pos","score_option":"five_stars"}]}],"business_privacy":{"url":"https://example.com/privacy"}%s}}}`

// surveyHeld: it waits while another app has control, goes out when the thread
// is idle, and its answer goes to its creator.
func surveyHeld(t *testing.T, s *site) {
	c := s.passed(t, "handover")
	answer := c.ok("B", "messages", fmt.Sprintf(survey, ""))
	if !strings.Contains(answer, `"message_id":"m_baton`) {
		t.Errorf("held as %s", answer)
	}
	if lines, err := s.node.simulator.Transcript(c.asset, c.person); err != nil || len(lines) != 1 {
		t.Errorf("%v, %v: it went out at once", lines, err)
	}
	c.ok("C", "release_thread_control", "")
	c.apps["B"].awaitsSummary(t, c, "messaging echo B ", "standby echo B ")
	if err := s.node.simulator.Feedback(c.asset, c.person, "5", ""); err != nil {
		t.Fatal(err)
	}
	c.apps["B"].awaitsSummary(t, c, "messaging feedback")
	if heard := c.heard("C")["C"]; strings.Contains(fmt.Sprint(heard), "feedback") {
		t.Errorf("C heard of the answer: %q", heard)
	}
}

// surveyDropped: after its days it is gone.
func surveyDropped(t *testing.T, s *site) {
	c := s.passed(t, "handover")
	c.ok("B", "messages", fmt.Sprintf(survey, `,"expires_in_days":1`))
	c.ok("C", "extend_thread_control", `"duration":604800`)
	if _, err := s.node.simulator.Clock(25 * time.Hour); err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, admin: s.node.adminURL()}
	d.until(`survey \d+ is dropped`, fmt.Sprintf("thread show %d %d", c.asset, c.person))
	c.ok("C", "release_thread_control", "")
	if lines, err := s.node.simulator.Transcript(c.asset, c.person); err != nil || len(lines) != 1 {
		t.Errorf("%v, %v: it went out", lines, err)
	}
}

// window: 24 hours, then only with the tag, for seven days, and a tag that is
// gone is refused; nothing reaches the platform.
func window(t *testing.T, s *site) {
	for page, subcode := range map[string]int{"handover": 2018278, "ig": 2534022} {
		c := s.chat(t, page)
		c.says("hi")
		c.ok("A", "pass_thread_control", pass("H"))
		c.ok("H", "extend_thread_control", `"duration":604800`)
		forward := func(d time.Duration) {
			t.Helper()
			if _, err := s.node.simulator.Clock(d); err != nil {
				t.Fatal(err)
			}
		}
		forward(25 * time.Hour)
		tagged := `"messaging_type":"MESSAGE_TAG","tag":%q,` + hello
		c.refused("H", "messages", hello, 10, subcode)
		c.refused("H", "messages", fmt.Sprintf(tagged, "ACCOUNT_UPDATE"), 100, 0)
		lines, err := s.node.simulator.Transcript(c.asset, c.person)
		if err != nil || len(lines) != 1 {
			t.Errorf("%v, %v", lines, err)
		}
		c.ok("H", "messages", fmt.Sprintf(tagged, "human_agent"))
		forward(6 * 24 * time.Hour)
		c.ok("H", "take_thread_control", "") // it has lapsed
		c.refused("H", "messages", fmt.Sprintf(tagged, "HUMAN_AGENT"), 10, subcode)
	}
}

func humanAgent(t *testing.T, s *site) {
	c := s.passed(t, "handover")
	tagged := `"messaging_type":"MESSAGE_TAG","tag":"HUMAN_AGENT",` + hello
	c.refused("B", "messages", tagged, 200, 0)
	c.ok("H", "messages", tagged)
	if got := c.owner(); got != "C" {
		t.Errorf("%q has control", got)
	}
}

// instagram: an account's own ids and words, calls through the linked Page.
func instagram(t *testing.T, s *site) {
	c := s.chat(t, "ig")
	c.says("hi")
	linked := fmt.Sprintf("/%d/messages", s.pages["handover"])
	if status, answer := c.post("A", linked, "{"+c.to()+","+hello+"}"); status != 200 {
		t.Fatal(status, answer)
	}
	if _, err := s.node.simulator.Unsend(c.asset, c.person); err != nil {
		t.Fatal(err)
	}
	if err := s.node.simulator.Read(c.asset, c.person); err != nil {
		t.Fatal(err)
	}
	c.apps["A"].awaitsSummary(t, c, "messaging read by mid")
	c.ok("A", "pass_thread_control", `"target_app_id":1217981644879628`)
	c.awaitOwner("inbox")
	c.ok("A", "take_thread_control", "")
	heard := fmt.Sprint(c.heard("A")["A"])
	for _, want := range []string{"messaging message hi", "messaging echo A hello", "messaging unsend", "messaging read by mid"} {
		if !strings.Contains(heard, want) {
			t.Errorf("no %q in %s", want, heard)
		}
	}
	if _, answer := c.post("A", "/me/custom_user_settings", fmt.Sprintf(`{"psid":"%d","persistent_menu":[]}`, c.person)); !strings.Contains(answer, "not available on Instagram") {
		t.Error(answer)
	}
}

// buttons: who sent one gains control by a tap, and only they get its payload.
func buttons(t *testing.T, s *site) {
	c := s.chat(t, "handover")
	c.says("hi")
	c.ok("A", "messages", `"message":{"attachment":{"type":"template","payload":{"template_type":"button","text":"?","buttons":[{"type":"postback","title":"B","payload":"CARE"}]}}}`)
	c.ok("A", "pass_thread_control", pass("C"))
	if _, err := s.node.simulator.Postback(c.asset, c.person, "CARE", ""); err != nil {
		t.Fatal(err)
	}
	c.awaitOwner("A")
	heard := c.heard("A", "C")
	if !strings.HasSuffix(fmt.Sprint(heard["A"]), "messaging postback CARE]") {
		t.Errorf("A: %q", heard["A"])
	}
	if !strings.HasSuffix(fmt.Sprint(heard["C"]), "messaging take C>A standby postback]") {
		t.Errorf("C: %q", heard["C"])
	}
}

func zeroConfig(t *testing.T, s *site) {
	c := s.chat(t, "zero")
	c.says("hi")
	c.ok("B", "messages", hello)
	c.refused("B", "take_thread_control", "", 10, 0)
	c.refused("B", "messages", hello+`,"thread_control":{"control_type":"pass"}`, 100, 0)
	c.ok("B", "request_thread_control", "")
	if got := c.owner(); got != "B" {
		t.Errorf("%q has control", got)
	}
	c.refused("C", "messages", hello, 10, 2018300)
	c.is("B", fmt.Sprintf("/%d?fields=messaging_feature_status", c.asset), `"hop_v2":false,"msgr_multi_app":false`)
}

func defaultApp(t *testing.T, s *site) {
	c := s.chat(t, "routing")
	c.says("hi")
	c.refused("B", "request_thread_control", "", 10, 0)
	c.ok("A", "messages", hello+`,"thread_control":{"control_type":"pass","app_id":"`+siteID("C").String()+`"}`)
	c.refused("A", "messages", hello, 10, 2018300)
	c.refused("H", "take_thread_control", "", 10, 0)
	c.ok("B", "take_thread_control", "")
	c.ok("B", "pass_thread_control", "")
	if got := c.owner(); got != "A" {
		t.Errorf("%q has control", got)
	}
	c.ok("A", "messages", hello+`,"thread_control":{"control_type":"release"}`)
	if got := c.owner(); got != "" {
		t.Errorf("%q has control", got)
	}
	c.is("A", fmt.Sprintf("/%d?fields=messaging_feature_status", c.asset), `"msgr_multi_app":true`)
	c.is("A", fmt.Sprintf("/%d/conversations?fields=is_owner&user_id=%d", c.asset, c.person), `"is_owner":false`)
}

// is makes a GET whose answer must hold a text.
func (c *chat) is(app, path, want string) {
	c.t.Helper()
	if status, answer := c.post(app, path, ""); status != 200 || !strings.Contains(answer, want) {
		c.t.Errorf("%s: %d %s, want %s", path, status, answer, want)
	}
}

// platform asks the simulated platform as Baton would.
func (c *chat) platform(method, path string) (status int, answer string) {
	c.t.Helper()
	return request(c.t, method, c.node.simulator.URL()+path, "page-token-"+c.page, "")
}

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
