package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/services/simulator"
)

// TestSwitchesAndProfilesOverHTTP: each switch of a page and each compatibility
// profile of an app changes what apps are answered or receive, and without it
// they get what the protocol says by default.
func TestSwitchesAndProfilesOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{
		"handover":       "mode: handover, primary: $A",
		"broadcast":      "mode: handover, primary: $A, broadcast_handovers: true",
		"announce":       "mode: handover, primary: $A, announce_idle_assignment: true",
		"owner_only":     "mode: handover, primary: $A, idle_send: owner_only",
		"no_extension":   "mode: handover, primary: $A, owner_send_extends: false",
		"grant":          "mode: handover, primary: $A, auto_grant_on_release: true",
		"seen":           "mode: handover, primary: $A, mark_seen_by_anyone: true",
		"lone":           "mode: handover",
		"lone_messaging": "mode: handover, idle_channel: messaging",
		"zero":           "mode: conversation_routing",
		"zero_standby":   "mode: conversation_routing, idle_channel: standby",
		"zero_literal":   "mode: conversation_routing, zero_config_literal: true",
		"routing":        `mode: conversation_routing, default_app: $A, can_take: [$B], links: {r1: $C}`,
		"routing_strict": `mode: conversation_routing, default_app: $A, strict_idle_pass: true`,
		"preempt":        `mode: conversation_routing, default_app: $A, links: {r1: $C}, link_preempts: true`,
		"ig":             `mode: handover, primary: $A`,
		"ig_other_code":  `mode: handover, primary: $A, ig_style: "2534037"`,
	})
	for name, test := range map[string]func(*testing.T, *site){ //nolint:paralleltest // one site, asked in turn
		"strict":           strictProfile,
		"profiles":         profiles,
		"standby extended": standbyExtended,
		"signatures":       signatures,
		"broadcast":        broadcast,
		"announce":         announce,
		"idle send":        idleSend,
		"owner extends":    ownerExtends,
		"auto grant":       autoGrant,
		"mark seen":        markSeen,
		"idle channel":     idleChannel,
		"zero literal":     zeroLiteral,
		"strict idle pass": strictIdlePass,
		"link preempts":    linkPreempts,
		"instagram code":   instagramCode,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

const hello = `"message":{"text":"hello"}`

func pass(to string) string { return `"target_app_id":"` + siteID(to).String() + `"` }

// sees compares what apps heard of the chat.
func (c *chat) sees(want map[string][]string) {
	c.t.Helper()
	apps := make([]string, 0, len(want))
	for name := range want {
		apps = append(apps, name)
	}
	if diff := cmp.Diff(want, c.heard(apps...)); diff != "" {
		c.t.Errorf("%s: heard (-want +got)\n%s", c.page, diff)
	}
}

// passed is a chat that C controls: A has passed it on.
func (s *site) passed(t *testing.T, page string) *chat {
	t.Helper()
	c := s.chat(t, page)
	if page != "zero" && page != "zero_literal" {
		c.says("hi")
	}
	c.ok("A", "pass_thread_control", pass("C")+`,"metadata":"m1"`)
	return c
}

// strictProfile: one event an entry, no empty array, ids as text, both
// signatures over the same bytes, and delivery ids.
func strictProfile(t *testing.T, s *site) {
	t.Helper()
	c := s.passed(t, "handover")
	c.sees(map[string][]string{
		"A": {"messaging message hi"},
		"B": {"standby message hi"},
		"C": {"standby message hi", "messaging pass A>C"},
	})
	for _, r := range s.apps["C"].entries(c) {
		if strings.Contains(r.entry, `"messaging":[]`) || strings.Contains(r.entry, `"messaging":[`) == strings.Contains(r.entry, `"standby":[`) {
			t.Errorf("not one array: %s", r.entry)
		}
		if r.header.Get("Baton-Delivery-Id") == "" || r.header.Get("Baton-Attempt") != "1" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", r.header)
		}
	}
	event := `"pass_thread_control":{"previous_owner_app_id":"` + siteID("A").String() + `","new_owner_app_id":"` + siteID("C").String() + `","metadata":"m1"}`
	if got := s.apps["C"].entries(c)[1].entry; !strings.Contains(got, event) {
		t.Errorf("no %s in %s", event, got)
	}
}

// profiles: ids as numbers, and an empty messaging array beside standby.
func profiles(t *testing.T, s *site) {
	t.Helper()
	c := s.chat(t, "handover")
	c.says("hi")
	c.ok("A", "pass_thread_control", pass("N"))
	c.ok("B", "request_thread_control", "")
	c.sees(map[string][]string{
		"N": {"standby message hi", "messaging pass A>N", "messaging request B"},
		"E": {"standby message hi"},
	})
	number := `"new_owner_app_id":` + siteID("N").String()
	requested := `"requested_owner_app_id":` + siteID("B").String()
	if all := s.apps["N"].entries(c); !strings.Contains(all[1].entry, number) || !strings.Contains(all[2].entry, requested) {
		t.Errorf("ids are no numbers: %s %s", all[1].entry, all[2].entry)
	}
	if got := s.apps["E"].entries(c)[0].entry; !strings.Contains(got, `"messaging":[]`) {
		t.Errorf("no empty array: %s", got)
	}
}

// standbyExtended: kinds beyond the platform's four.
func standbyExtended(t *testing.T, s *site) {
	t.Helper()
	c := s.chat(t, "handover")
	mid, err := s.node.simulator.Message(c.asset, c.person, "hi", simulator.MessageOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answer := c.ok("A", "messages", hello)
	_ = mid
	at := strings.Index(answer, `"m_`)
	sent := answer[at+1 : at+1+strings.Index(answer[at+1:], `"`)]
	if err := s.node.simulator.React(c.asset, c.person, sent, "love"); err != nil {
		t.Fatal(err)
	}
	c.sees(map[string][]string{
		"A": {"messaging message hi", "messaging reaction love"},
		"B": {"standby message hi"},
		"X": {"standby message hi", "standby reaction love"},
	})
}

// signatures: an app may want only one of them.
func signatures(t *testing.T, s *site) {
	t.Helper()
	c := s.chat(t, "handover")
	c.says("caf\u00e9 https://ex.test/a")
	for name, wants := range map[string][2]bool{"A": {true, true}, "S": {false, true}} {
		h := s.apps[name].entries(c)[0].header
		if got := [2]bool{h.Get("X-Hub-Signature") != "", h.Get("X-Hub-Signature-256") != ""}; got != wants {
			t.Errorf("%s: SHA-1 and SHA-256 %v, want %v", name, got, wants)
		}
	}
	if got := s.apps["A"].entries(c)[0].entry; !strings.Contains(got, `caf\u00e9 https:\/\/ex.test\/a`) {
		t.Errorf("not escaped as the platform does: %s", got)
	}
}

func broadcast(t *testing.T, s *site) {
	t.Helper()
	for page, others := range map[string][]string{"handover": {"standby message hi"}, "broadcast": {"standby message hi", "messaging pass A>C", "messaging take C>A"}} {
		c := s.passed(t, page)
		c.ok("A", "take_thread_control", "")
		c.sees(map[string][]string{"B": others})
	}
}

func announce(t *testing.T, s *site) {
	t.Helper()
	for page, lead := range map[string][]string{"handover": {"messaging message hi"}, "announce": {"messaging pass null>A", "messaging message hi"}} {
		c := s.chat(t, page)
		c.says("hi")
		c.sees(map[string][]string{"A": lead, "B": {"standby message hi"}})
	}
}

func idleSend(t *testing.T, s *site) {
	t.Helper()
	c := s.chat(t, "handover")
	c.ok("B", "messages", hello)
	c = s.chat(t, "owner_only")
	c.refused("B", "messages", hello, 10, 2018300)
	c.ok("A", "messages", hello) // the lead is exempt
}

func ownerExtends(t *testing.T, s *site) {
	t.Helper()
	until := func(c *chat) int {
		t.Helper()
		_, answer := c.post("A", "/me/thread_owner?recipient="+strconv.FormatUint(c.person, 10), "")
		digits := answer[strings.Index(answer, `"expiration":`)+len(`"expiration":`):]
		n, err := strconv.Atoi(strings.TrimRight(digits[:10], "},"))
		if err != nil {
			t.Fatal(answer, err)
		}
		return n
	}
	with, without := s.chat(t, "handover"), s.chat(t, "no_extension")
	with.says("hi")
	without.says("hi")
	before := [2]int{until(with), until(without)}
	if _, err := s.node.simulator.Clock(3600e9); err != nil {
		t.Fatal(err)
	}
	with.ok("A", "messages", hello)
	without.ok("A", "messages", hello)
	if got := until(with) - before[0]; got < 3500 || got > 3700 {
		t.Errorf("the owner's send extended control by %d s", got)
	}
	if got := until(without) - before[1]; got != 0 {
		t.Errorf("switched off, it extended control by %d s", got)
	}
}

func autoGrant(t *testing.T, s *site) {
	t.Helper()
	for page, want := range map[string]string{"handover": "", "grant": "B"} {
		c := s.passed(t, page)
		c.ok("B", "request_thread_control", "")
		c.ok("C", "release_thread_control", "")
		if got := c.owner(); got != want {
			t.Errorf("%s: %q has control, want %q", page, got, want)
		}
	}
}

func markSeen(t *testing.T, s *site) {
	t.Helper()
	c := s.passed(t, "handover")
	c.refused("B", "messages", `"sender_action":"mark_seen"`, 10, 2018300)
	c = s.passed(t, "seen")
	c.ok("B", "messages", `"sender_action":"MARK_SEEN"`)
	c.refused("B", "messages", `"sender_action":"typing_on"`, 10, 2018300)
}

func idleChannel(t *testing.T, s *site) {
	t.Helper()
	for page, channel := range map[string]string{"lone": "standby", "lone_messaging": "messaging", "zero": "messaging", "zero_standby": "standby"} {
		c := s.chat(t, page)
		c.says("hi")
		want := []string{channel + " message hi"}
		c.sees(map[string][]string{"A": want, "B": want})
		if got := c.owner(); got != "" {
			t.Errorf("%s: %s has control", page, got)
		}
	}
}

func zeroLiteral(t *testing.T, s *site) {
	t.Helper()
	c := s.passed(t, "zero")
	c.refused("B", "messages", hello, 10, 2018300)
	c = s.passed(t, "zero_literal")
	c.ok("B", "messages", hello)
	if got := c.owner(); got != "C" {
		t.Errorf("%q has control", got)
	}
}

func strictIdlePass(t *testing.T, s *site) {
	t.Helper()
	c := s.chat(t, "routing")
	c.ok("B", "pass_thread_control", pass("C"))
	c = s.chat(t, "routing_strict")
	c.refused("B", "pass_thread_control", pass("C"), 10, 0)
	c.ok("A", "pass_thread_control", pass("C"))
}

func linkPreempts(t *testing.T, s *site) {
	t.Helper()
	for page, want := range map[string]string{"routing": "A", "preempt": "C"} {
		c := s.chat(t, page)
		c.says("hi")
		if err := s.node.simulator.Referral(c.asset, c.person, "r1"); err != nil {
			t.Fatal(err)
		}
		c.sees(map[string][]string{want: map[string][]string{
			"A": {"messaging message hi", "messaging referral r1"}, "C": {"standby message hi", "messaging referral r1"},
		}[want]})
		if got := c.owner(); got != want {
			t.Errorf("%s: %q has control, want %q", page, got, want)
		}
	}
}

func instagramCode(t *testing.T, s *site) {
	t.Helper()
	for page, subcode := range map[string]int{"ig": 2018300, "ig_other_code": 2534037} {
		c := s.passed(t, page)
		code := map[int]int{2018300: 10, 2534037: 100}[subcode]
		c.refused("B", "messages", hello, code, subcode)
		if status, _ := c.call("C", "messages", hello); status != http.StatusOK {
			t.Errorf("%s: %d", page, status)
		}
	}
}
