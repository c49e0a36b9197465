package conformance

import (
	"fmt"
	"strings"
	"time"
)

// Mode is a way of routing: h is handover with a primary receiver, h0 handover
// without, z conversation routing without a default app, d with one.
type Mode string

// The modes.
const (
	Handover        Mode = "h"
	HandoverNoLead  Mode = "h0"
	ZeroConfig      Mode = "z"
	DefaultApp      Mode = "d"
	idleOnMessaging      = ZeroConfig
)

// lead is the app that gains control of idle threads, "" for none.
func (m Mode) lead() string {
	if m == Handover || m == DefaultApp {
		return "A"
	}
	return ""
}

// Vector is a row of the conformance table, or a story: what is done on one
// thread, and what must come of it. It is run once in each of its modes.
type Vector struct {
	// Row or Story names it; exactly one is set.
	Row   string `yaml:"row"`
	Story string `yaml:"story"`
	// In are its modes.
	In []Mode `yaml:"in"`
	// Says is the rule in a sentence; of a story, the sentence of the
	// documentation it stands for, in our words.
	Says string `yaml:"says"`
	// Source is where the rule is read.
	Source string `yaml:"source"`
	// Own says why the documents cannot prove the row: Baton's own decision.
	// Empty for a documented rule.
	Own string `yaml:"own"`
	// Page is what the page needs beyond the mode's default.
	Page Settings `yaml:"page"`
	// Given are the steps that bring the thread into its state; what they
	// cause is not compared.
	Given []Step `yaml:"given"`
	// When are the steps that are compared, each with what follows.
	When []Step `yaml:"when"`

	file string
	line int
}

// Name is "row 36" or "story survey".
func (v *Vector) Name() string {
	if v.Story != "" {
		return "story " + v.Story
	}
	return "row " + v.Row
}

// Number is the row's number in the table: 36 of 36-strict, "" for stories.
func (v *Vector) Number() string {
	number, _, _ := strings.Cut(v.Row, "-")
	return number
}

// Settings are what a vector needs of its page.
type Settings struct {
	// Object is page (default) or instagram.
	Object string `yaml:"object" json:"object,omitempty"`
	// Lead replaces the mode's A: another app, X for the inbox.
	Lead string `yaml:"lead" json:"lead,omitempty"`
	// Social gets organic entries, Links by ref, Ads by ad id.
	Social string            `yaml:"social" json:"social,omitempty"`
	Links  map[string]string `yaml:"links" json:"links,omitempty"`
	Ads    map[string]Ad     `yaml:"ads" json:"ads,omitempty"`
	// Switches are Baton's page switches that are on.
	Switches []string `yaml:"switches" json:"switches,omitempty"`
	// Without are the webhook fields that an app is not subscribed to.
	Without map[string][]string `yaml:"without" json:"without,omitempty"`
	// Apps are the connected apps that differ from the usual ones.
	Apps map[string]AppSettings `yaml:"apps" json:"apps,omitempty"`
}

// Ad is the route of an ad.
type Ad struct {
	App  string `yaml:"app" json:"app"`
	Days int    `yaml:"days" json:"days"`
}

// AppSettings are how an app differs from the usual one.
type AppSettings struct {
	// HumanAgent is the feature of that name.
	HumanAgent bool `yaml:"human_agent" json:"human_agent,omitempty"`
	// StandbyExtended asks for every kind of event on standby.
	StandbyExtended bool `yaml:"standby_extended" json:"standby_extended,omitempty"`
	// Development is an app under development; Tester makes the vector's
	// person one of its testers.
	Development bool `yaml:"development" json:"development,omitempty"`
	Tester      bool `yaml:"tester" json:"tester,omitempty"`
}

// Step is one thing done, and what must come of it. Exactly one of the first
// group is set; the package comment lists which of the others go with it.
type Step struct {
	Call     string  `yaml:"call"`
	Event    string  `yaml:"event"`
	Inbox    string  `yaml:"inbox"`
	Own      string  `yaml:"own"`
	Button   *Button `yaml:"button"`
	Wait     Span    `yaml:"wait"`
	Lead     string  `yaml:"lead"`
	Platform string  `yaml:"platform"`
	Race     []Step  `yaml:"race"`

	By        string         `yaml:"by"`
	To        string         `yaml:"to"`
	From      string         `yaml:"from"`
	App       string         `yaml:"app"`
	Of        string         `yaml:"of"`
	Text      string         `yaml:"text"`
	Payload   string         `yaml:"payload"`
	Ref       string         `yaml:"ref"`
	Ad        string         `yaml:"ad"`
	Receiving string         `yaml:"receiving"`
	Window    string         `yaml:"window"`
	Questions []string       `yaml:"questions"`
	At        Span           `yaml:"at"`
	Metadata  string         `yaml:"metadata"`
	Tag       string         `yaml:"tag"`
	Action    string         `yaml:"action"`
	Buttons   []string       `yaml:"buttons"`
	Survey    *Survey        `yaml:"survey"`
	Hand      string         `yaml:"hand"`
	Items     []string       `yaml:"items"`
	Params    map[string]any `yaml:"params"`
	Remove    bool           `yaml:"remove"`

	// Answer is the answer of a call.
	Answer Answer `yaml:"answer"`
	// Heard is what each app receives, in this order; who is not named, under
	// rest either, receives nothing.
	Heard map[string]Heard `yaml:"heard"`
	// Owner is who has control afterwards: an app, X, or idle.
	Owner string `yaml:"owner"`
	// Until is how long control lasts from now on, or "unchanged".
	Until Until `yaml:"until"`
	// Pending are the apps that wait for control, in order; compared where
	// the server tells the owner. [] is none.
	Pending *[]string `yaml:"pending"`
	// Outcomes of a race: it must end as one of them.
	Outcomes []Outcome `yaml:"outcomes"`

	line int
	keys map[string]bool
}

// Button is a button that an app has sent.
type Button struct {
	By      string `yaml:"by"`
	Payload string `yaml:"payload"`
}

// Survey is a customer feedback template.
type Survey struct {
	Question string `yaml:"question"`
	Days     int    `yaml:"days"`
}

// Outcome is one of the ways in which a race may end.
type Outcome struct {
	Answers []Answer         `yaml:"answers"`
	Heard   map[string]Heard `yaml:"heard"`
	Owner   string           `yaml:"owner"`
}

// Span is a duration with days: 1h30m, -3d.
type Span time.Duration

// UnmarshalText reads a span.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := parseSpan(string(text))
	*s = Span(d)
	return err
}

func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if _, err := fmt.Sscanf(days, "%d", &n); err == nil && fmt.Sprint(n) == strings.TrimPrefix(days, "+") {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 1h30m or 3d", text)
	}
	return d, nil
}

// Until is when control ends.
type Until struct {
	Unchanged bool
	In        time.Duration
}

// UnmarshalText reads "unchanged" or a duration.
func (u *Until) UnmarshalText(text []byte) error {
	if string(text) == "unchanged" {
		u.Unchanged = true
		return nil
	}
	d, err := parseSpan(string(text))
	if err == nil && d <= 0 {
		err = fmt.Errorf("control lasts %q: that is never", text)
	}
	u.In = d
	return err
}

func (u Until) set() bool { return u != Until{} }
