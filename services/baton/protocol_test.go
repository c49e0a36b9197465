package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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
	if err := s.node.simulator.SetSwitches(0, noReceipts()); err != nil {
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

// noReceipts leaves out what the platform says by itself of messages.
func noReceipts() simulator.Switches {
	return simulator.Switches{DropDeliveries: true, DropReads: true}
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	if err := s.node.simulator.SetSwitches(c.asset, noReceipts()); err != nil {
		t.Fatal(err)
	}
}

const survey = `"message":{"attachment":{"type":"template","payload":{"template_type":"customer_feedback","title":"How was it?","subtitle":"tell us","button_title":"Rate","feedback_screens":[{"questions":[{"id":"q1","type":"csat","title":"?","score_label":"neg_pos","score_option":"five_stars"}]}],"business_privacy":{"url":"https://example.com/privacy"}%s}}}`

// surveyHeld: it waits while another app has control, goes out when the thread
// is idle, and its answer goes to its creator.
func surveyHeld(t *testing.T, s *site) {
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
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
	t.Helper()
	c := s.chat(t, "handover")
	c.says("hi")
	c.ok("A", "messages", `"message":{"attachment":{"type":"template","payload":{"template_type":"button","text":"?","buttons":[{"type":"postback","title":"B","payload":"CARE"}]}}}`)
	c.ok("A", "pass_thread_control", pass("C"))
	if _, err := s.node.simulator.Postback(c.asset, c.person, "CARE", ""); err != nil {
		t.Fatal(err)
	}
	c.awaitOwner("A")
	heard := c.heard("A", "C")
	if !slices.Contains(heard["A"], "messaging postback CARE") {
		t.Errorf("A: %q", heard["A"])
	}
	if !strings.Contains(fmt.Sprint(heard["C"]), "messaging take C>A standby postback") {
		t.Errorf("C: %q", heard["C"])
	}
}

func zeroConfig(t *testing.T, s *site) {
	t.Helper()
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
	t.Helper()
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
