package conformance

import (
	"slices"
	"strings"
)

// Letters of the apps, and other parties.
const (
	connectedLetters = "A B C T H"
	appLetters       = connectedLetters + " D V F"
	parties          = appLetters + " N X XI XS"
)

const (
	allModes       = "h h0 z d"
	outcomeKeys    = " answer heard owner until pending"
	switchNames    = "auto_grant_on_release broadcast_handovers announce_idle_assignment zero_config_literal strict_idle_pass link_preempts mark_seen_by_anyone idle_send_owner_only"
	platformWords  = "normal silent refuses"
	inboxWords     = "reply main done"
	settableFields = "messages message_echoes message_reads message_reactions messaging_postbacks messaging_handovers standby"
)

// stepKeys are the keys that go with what is done.
//
//nolint:gochecknoglobals // a constant table
var stepKeys = map[string]string{
	"call pass":                 "by to metadata params" + outcomeKeys,
	"call take":                 "by metadata params" + outcomeKeys,
	"call request":              "by metadata params" + outcomeKeys,
	"call release":              "by metadata params" + outcomeKeys,
	"call extend":               "by params" + outcomeKeys,
	"call pass_thread_metadata": "by to metadata params" + outcomeKeys,
	"call thread_owner":         "by" + outcomeKeys,
	"call secondary_receivers":  "by" + outcomeKeys,
	"call is_owner":             "by" + outcomeKeys,
	"call feature_status":       "by" + outcomeKeys,
	"call send":                 "by text metadata tag action buttons survey hand params" + outcomeKeys,
	"call user_menu":            "by items remove" + outcomeKeys,
	"call page_menu":            "by items remove" + outcomeKeys,
	"call get_started":          "by payload" + outcomeKeys,
	"call subscribe":            "by" + outcomeKeys,
	"call unsubscribe":          "by" + outcomeKeys,

	"event message":                "text payload ref ad receiving window at" + outcomeKeys,
	"event postback":               "payload ref at" + outcomeKeys,
	"event referral":               "ref ad receiving window at" + outcomeKeys,
	"event optin":                  "at" + outcomeKeys,
	"event feedback":               "questions at" + outcomeKeys,
	"event echo":                   "app of metadata at" + outcomeKeys,
	"event reaction":               "at" + outcomeKeys,
	"event unreact":                "at" + outcomeKeys,
	"event edit":                   "text at" + outcomeKeys,
	"event unsend":                 "at" + outcomeKeys,
	"event read":                   "at" + outcomeKeys,
	"event delivery":               "at" + outcomeKeys,
	"event account_linking":        "at" + outcomeKeys,
	"event order":                  "at" + outcomeKeys,
	"event response_feedback":      "at" + outcomeKeys,
	"event policy_enforcement":     "at" + outcomeKeys,
	"event other":                  "at" + outcomeKeys,
	"event pass_thread_control":    "from to metadata" + outcomeKeys,
	"event take_thread_control":    "from to metadata" + outcomeKeys,
	"event request_thread_control": "to metadata" + outcomeKeys,
	"event again":                  "" + outcomeKeys,

	"inbox":    "metadata" + outcomeKeys,
	"own":      "",
	"button":   "",
	"wait":     outcomeKeys,
	"lead":     outcomeKeys,
	"platform": "",
	"race":     "outcomes",
}

// check lists what is wrong with a vector.
func (v *Vector) check() []error {
	var faults []error
	fail := func(line int, format string, args ...any) { faults = append(faults, at(line, format, args...)) }
	switch {
	case (v.Row == "") == (v.Story == ""):
		fail(v.line, "a vector is a row or a story")
	case len(v.In) == 0:
		fail(v.line, "%s: in names no mode", v.Name())
	case v.Says == "" || v.Source == "":
		fail(v.line, "%s: says and source are needed", v.Name())
	case len(v.When) == 0:
		fail(v.line, "%s: nothing is done", v.Name())
	}
	for i, mode := range v.In {
		if !oneOf(allModes, string(mode)) || slices.Contains(v.In[:i], mode) {
			fail(v.line, "%s: %q is no mode, or stands twice; there are %s", v.Name(), mode, allModes)
		}
	}
	faults = append(faults, v.Page.check(v.line)...)
	for i := range v.Given {
		faults = append(faults, v.Given[i].check()...)
		if s := &v.Given[i]; s.Heard != nil || s.Owner != "" || s.Until.set() || s.Pending != nil {
			fail(s.line, "what is given is not compared: heard, owner, until and pending belong to when")
		}
	}
	for i := range v.When {
		faults = append(faults, v.When[i].check()...)
	}
	if n := len(v.When); n > 0 && !v.When[n-1].saysOwner() {
		fail(v.When[n-1].line, "%s: the last step has to say who is the owner afterwards", v.Name())
	}
	return faults
}

func (s *Step) saysOwner() bool {
	for _, o := range s.Outcomes {
		if o.Owner == "" {
			return false
		}
	}
	return s.Owner != "" || len(s.Outcomes) > 0
}

func (p *Settings) check(line int) []error {
	var faults []error
	known := func(what, list string, words ...string) {
		for _, w := range words {
			if w != "" && !oneOf(list, w) {
				faults = append(faults, at(line, "page: unknown %s %q, want one of %s", what, w, list))
			}
		}
	}
	known("object", "page instagram", p.Object)
	known("lead", parties, p.Lead, p.Social)
	known("switch", switchNames, p.Switches...)
	for _, app := range p.Links {
		known("app", parties, app)
	}
	for _, ad := range p.Ads {
		known("app", parties, ad.App)
		if ad.Days < 1 || ad.Days > 30 {
			faults = append(faults, at(line, "page: an ad has 1 to 30 days, not %d", ad.Days))
		}
	}
	for app, fields := range p.Without {
		known("app", appLetters, app)
		known("field", settableFields, fields...)
	}
	for app := range p.Apps {
		known("app", appLetters, app)
	}
	return faults
}

// kind is what a step does, as a key of stepKeys; "" when that is not one
// thing.
func (s *Step) kind() string {
	var kinds []string
	for _, key := range []string{"call", "event", "inbox", "own", "button", "wait", "lead", "platform", "race"} {
		if s.keys[key] {
			kinds = append(kinds, key)
		}
	}
	switch {
	case len(kinds) != 1:
		return ""
	case kinds[0] == "call":
		return "call " + s.Call
	case kinds[0] == "event":
		return "event " + s.Event
	}
	return kinds[0]
}

// check lists what is wrong with a step.
func (s *Step) check() []error {
	kind := s.kind()
	allowed, ok := stepKeys[kind]
	if !ok {
		return []error{at(s.line, "a step is one call, event, inbox, own, button, wait, lead, platform or race of a known kind, not %q", kind)}
	}
	var faults []error
	verb, _, _ := strings.Cut(kind, " ")
	for key := range s.keys {
		if key != verb && !oneOf(allowed, key) {
			faults = append(faults, at(s.line, "%s does not go with %s", key, kind))
		}
	}
	if verb == "call" && !oneOf(appLetters, s.By) {
		faults = append(faults, at(s.line, "a call is by an app: %s", appLetters))
	}
	faults = append(faults, s.checkWords()...)
	faults = append(faults, s.checkRace()...)
	return append(faults, checkHeard(s.line, s.Heard)...)
}

func (s *Step) checkWords() []error {
	var faults []error
	for _, w := range []struct{ what, list, word string }{
		{"inbox action", inboxWords, s.Inbox},
		{"platform", platformWords, s.Platform},
		{"app", parties, s.To},
		{"app", parties, s.From},
		{"app", parties + " none", s.App},
		{"app", parties, s.Receiving},
		{"app", parties, s.Own},
		{"app", parties, s.Lead},
		{"of", "send", s.Of},
		{"owner", appLetters + " X XI idle", s.Owner},
		{"action", "typing_on typing_off mark_seen", s.Action},
		{"tag", "HUMAN_AGENT CUSTOMER_FEEDBACK ACCOUNT_UPDATE", s.Tag},
	} {
		if w.word != "" && !oneOf(w.list, w.word) {
			faults = append(faults, at(s.line, "unknown %s %q, want one of %s", w.what, w.word, w.list))
		}
	}
	if s.Owner == "idle" && s.Until.set() {
		faults = append(faults, at(s.line, "nobody's control lasts until a time"))
	}
	return faults
}

func (s *Step) checkRace() []error {
	if s.Race == nil {
		return nil
	}
	var faults []error
	if len(s.Race) < 2 || len(s.Outcomes) < 2 {
		faults = append(faults, at(s.line, "a race has two steps and two outcomes at least"))
	}
	for i := range s.Race {
		if r := &s.Race[i]; r.Call == "" || r.Heard != nil || r.Owner != "" || r.Answer != (Answer{}) {
			faults = append(faults, at(r.line, "in a race stand calls; what follows belongs to outcomes"))
		}
		faults = append(faults, s.Race[i].check()...)
	}
	for _, o := range s.Outcomes {
		if len(o.Answers) != len(s.Race) {
			faults = append(faults, at(s.line, "an outcome has an answer for each call of the race"))
		}
		faults = append(faults, checkHeard(s.line, o.Heard)...)
	}
	return faults
}

func checkHeard(line int, heard map[string]Heard) []error {
	var faults []error
	for app := range heard {
		if !oneOf(appLetters+" rest", app) {
			faults = append(faults, at(line, "heard: unknown app %q", app))
		}
	}
	return faults
}
