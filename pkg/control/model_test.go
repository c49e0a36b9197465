package control_test

import (
	"slices"
	"strings"
)

// This file is a second, independent reading of the rules: tables to look up,
// written from the rows of the conformance table. It shares nothing with Decide
// and knows apps by their letters. Times are milliseconds since the start.

const (
	modelHour = int64(3600 * 1000)
	modelDay  = 24 * modelHour
)

// rule is one line of a table: the first that matches decides. A column lists
// what it matches, "*" matches all.
type rule struct{ mode, owner, caller, verdict string }

// The verdicts are "same" (success, nothing changes), "gain", "idle", "wait"
// (joins the queue), "held", "accept", "take" (gain, then accept), or a reason.
var (
	takeTable = []rule{
		{"*", "self", "*", "same"},          // row 52
		{"h h0", "idle", "*", "gain"},       // row 47
		{"h", "*", "lead", "gain"},          // rows 45, 53
		{"d", "*", "lead toggle", "gain"},   // rows 49, 51
		{"*", "*", "*", "TAKE_NOT_ALLOWED"}, // rows 46, 48, 50
	}
	requestTable = []rule{
		{"d", "*", "*", "REQUEST_NOT_ALLOWED"}, // row 59
		{"*", "idle", "*", "gain"},             // row 56
		{"*", "self", "*", "ALREADY_OWNER"},    // row 58
		{"*", "*", "*", "wait"},                // rows 54, 55, 60
	}
	releaseTable = []rule{
		{"*", "self", "*", "idle"},   // row 61
		{"*", "*", "*", "NOT_OWNER"}, // rows 62, 63
	}
	passTable = []rule{ // to a connected target
		{"*", "idle self", "*", "gain"}, // rows 36, 37, 43
		{"*", "*", "*", "NOT_OWNER"},    // row 38
	}
	extendTable = []rule{
		{"*", "self", "*", "same"},   // row 64
		{"*", "*", "*", "NOT_OWNER"}, // rows 63, 66
	}
	sendTable = []rule{
		{"*", "self", "*", "accept"},                // row 21
		{"h h0 z", "idle", "*", "accept"},           // row 25
		{"d", "idle", "lead", "accept"},             // row 26
		{"d", "idle", "*", "IDLE_SEND_NOT_ALLOWED"}, // row 27
		{"*", "*", "*", "SEND_NOT_OWNER"},           // rows 22, 23
	}
	humanTable = []rule{ // a human-agent send by an app that has the feature
		{"*", "self", "*", "accept"},      // row 33
		{"h h0", "*", "*", "accept"},      // row 28
		{"z", "idle", "*", "accept"},      // row 25
		{"d", "*", "lead toggle", "take"}, // row 30, 12.35
		{"d", "idle", "*", "IDLE_SEND_NOT_ALLOWED"},
		{"*", "*", "*", "SEND_NOT_OWNER"}, // row 31
	}
	surveyTable = []rule{
		{"*", "idle self", "*", "accept"}, // 12.14
		{"*", "*", "*", "held"},           // row 84
	}
	menuTable = []rule{
		{"*", "idle self", "*", "same"}, // rows 90, 91
		{"*", "*", "*", "USER_MENU_NOT_OWNER"},
	}
)

func lookUp(table []rule, mode, owner, caller string) string {
	matches := func(column, word string) bool {
		return column == "*" || slices.Contains(strings.Fields(column), word)
	}
	for _, r := range table {
		if matches(r.mode, mode) && matches(r.owner, owner) && matches(r.caller, caller) {
			return r.verdict
		}
	}
	return "no rule"
}

// who gains an idle thread by a message, by mode: rows 01 to 04.
var messageGives = map[string]string{"h": "A", "h0": "", "z": "", "d": "A"}

// who gains the thread when the inbox is done: rows 77 to 79.
var doneGives = map[string]string{"h": "A", "h0": "", "z": "", "d": ""}

type modelSurvey struct {
	app   string
	until int64
}

// model is a thread as the tables see it. owner is a letter, X for the inbox,
// empty for idle.
type model struct {
	mode    string
	now     int64
	owner   string
	until   int64
	user    int64 // -1: unknown
	window  int64 // of an ad, 0 for none
	pending []string
	held    []modelSurvey
	done    bool
	last    string // the latest control event's call
	lastAt  int64
}

func (m *model) ownerClass(caller string) string {
	switch m.owner {
	case "":
		return "idle"
	case caller:
		return "self"
	}
	return "other"
}

func (m *model) callerClass(caller string) string {
	switch {
	case caller == "A" && (m.mode == "h" || m.mode == "d"):
		return "lead"
	case caller == "T" || caller == "H":
		return "toggle"
	}
	return "plain"
}

// gain gives control to app from now on; nobody is idle.
func (m *model) gain(app, call string) {
	m.owner, m.until, m.window = app, m.now+modelDay, 0
	m.last, m.lastAt = call, m.now
	if app == "" {
		m.until, m.pending = 0, nil
		m.held = nil // delivered or dropped
		return
	}
	m.pending = slices.DeleteFunc(slices.Clone(m.pending), func(p string) bool { return p == app })
}

// lapse settles the thread as seen at a time.
func (m *model) lapse(at int64) {
	if m.owner != "" && at >= m.until {
		m.gain("", "")
	}
}

// call is a control call: verb, caller, target and metadata make it the same.
func (m *model) call(verb, by, target, metadata string) (refused string) {
	m.lapse(m.now)
	key := strings.Join([]string{verb, by, target, metadata}, "|")
	table := map[string][]rule{"take": takeTable, "request": requestTable, "release": releaseTable, "pass": passTable}[verb]
	repeated := m.last == key && m.now-m.lastAt <= 5*60*1000
	if repeated {
		return ""
	}
	if verb == "pass" && target == "" {
		if m.mode != "d" {
			return "TARGET_MISSING" // row 42
		}
		target = "A" // row 41
	}
	verdict := lookUp(table, m.mode, m.ownerClass(by), m.callerClass(by))
	switch {
	case verb == "pass" && verdict == "gain" && target == by && m.owner == by:
		return "PASS_TO_SELF" // row 39
	case verb == "pass" && verdict == "gain" && target == "D":
		return "UNKNOWN_TARGET" // row 40
	case verb == "pass" && verdict == "gain":
		m.gain(target, key)
	case verdict == "gain":
		m.gain(by, key)
	case verdict == "idle":
		m.gain("", key)
	case verdict == "wait":
		if !slices.Contains(m.pending, by) {
			m.pending = append(slices.Clone(m.pending), by)
		}
		m.last, m.lastAt = key, m.now
	case verdict != "same":
		return verdict
	}
	return ""
}

func (m *model) extend(by string, d int64) (refused string) {
	m.lapse(m.now)
	if d < 1000 || d > 7*modelDay {
		return "BAD_DURATION" // row 65
	}
	if verdict := lookUp(extendTable, m.mode, m.ownerClass(by), ""); verdict != "same" {
		return verdict
	}
	m.until = max(m.until, m.now+d)
	return ""
}

func (m *model) userMenu(by string) (refused string) {
	m.lapse(m.now)
	if verdict := lookUp(menuTable, m.mode, m.ownerClass(by), ""); verdict != "same" {
		return verdict
	}
	return ""
}

// send is a plain send, a human agent's, or a survey.
func (m *model) send(kind, by string, days int64) (refused string) {
	m.lapse(m.now)
	table, window := sendTable, modelDay
	switch kind {
	case "human":
		if by != "H" {
			return "NO_HUMAN_AGENT" // row 29
		}
		table, window = humanTable, 7*modelDay
	case "survey":
		table, window = surveyTable, 7*modelDay
	}
	verdict := lookUp(table, m.mode, m.ownerClass(by), m.callerClass(by))
	switch {
	case verdict == "held" && len(m.held) == 8:
		return "TOO_MANY_SURVEYS"
	case verdict == "held":
		m.held = append(slices.Clone(m.held), modelSurvey{app: by, until: m.now + days*modelDay})
		return ""
	case verdict != "accept" && verdict != "take":
		return verdict
	case m.user >= 0 && m.now-m.user > window:
		return "OUTSIDE_WINDOW" // row 32
	}
	if verdict == "take" {
		m.gain(by, "")
	}
	if m.owner == by && (m.mode == "h" || m.mode == "h0") {
		m.until = max(m.until, m.now+modelDay) // protocol 6.5
	}
	return ""
}

// person is something the person does: a message, a tap on a button of a
// creator, an ad that leads to an app for some days, or a mere read.
func (m *model) person(kind, app string, days, at int64) {
	at = min(at, m.now)
	m.lapse(at)
	if kind == "read" {
		return
	}
	switch {
	case kind == "tap" && m.owner != app: // rows 15, 16
		m.gain(app, "")
	case kind == "ad": // rows 07, 09
		until := max(m.user, at) + days*modelDay
		if m.owner != app {
			m.gain(app, "")
			m.until = max(until, m.now)
		}
		m.until, m.window = max(m.until, until), days*modelDay
	case kind == "message" && m.owner == "" && messageGives[m.mode] != "":
		m.gain(messageGives[m.mode], "")
	}
	if kind == "message" {
		m.done = false // 12.13
	}
	m.user = max(m.user, at)
	if m.owner != "" {
		window := m.window
		if window == 0 {
			window = modelDay
		}
		m.until = max(m.until, at+window)
	}
}

// human is what a human does in the inbox.
func (m *model) human(verb string) {
	m.lapse(m.now)
	switch {
	case verb == "done" && m.owner == "X": // rows 77 to 79
		m.gain(doneGives[m.mode], "")
		m.done = true
	case verb == "done":
		m.done = true
	case verb == "main": // row 75
		if m.owner != "X" {
			m.gain("X", "")
		}
		m.done = false
	case m.owner == "" && m.done && doneGives[m.mode] != "": // row 81
		m.gain(doneGives[m.mode], "")
	case m.owner == "" || m.owner == "X" || m.done: // rows 80, 82
	default: // row 76
		m.gain("X", "")
	}
}

// due is the timer.
func (m *model) due() {
	m.lapse(m.now)
	m.held = slices.DeleteFunc(slices.Clone(m.held), func(s modelSurvey) bool { return s.until <= m.now })
}
