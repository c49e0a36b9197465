package conformance

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Answer is the answer of a call: a word and what goes with it. The package
// comment has its notation. The zero value is not compared.
type Answer struct {
	What string
	Rest string
}

// UnmarshalText reads the notation of an answer.
func (a *Answer) UnmarshalText(text []byte) error {
	a.What, a.Rest, _ = strings.Cut(string(text), " ")
	switch a.What {
	case "success", "sent", "result", "action":
		if a.Rest == "" {
			return nil
		}
	case "refused":
		if _, err := refusal(a.Rest); err != nil {
			return err
		}
		return nil
	case "owner":
		if oneOf(appLetters+" X XI hidden none", a.Rest) {
			return nil
		}
	case "receivers":
		if oneOf(parties, strings.Fields(a.Rest)...) && a.Rest != "" {
			return nil
		}
	case "is_owner":
		if oneOf("true false", a.Rest) {
			return nil
		}
	case "status":
		if oneOf("hop_v2 msgr_multi_app ig_multi_app none", a.Rest) {
			return nil
		}
	}
	return fmt.Errorf("%q is no answer: want success, sent, action, result, refused NAME, owner APP|hidden|none, receivers APP…, "+
		"is_owner true|false or status hop_v2|msgr_multi_app|ig_multi_app|none", text)
}

// String is the notation of the answer.
func (a Answer) String() string { return strings.TrimSpace(a.What + " " + a.Rest) }

// Refusal is an error of the platform.
type Refusal struct {
	Name    string `yaml:"name"`
	Status  int    `yaml:"status"`
	Type    string `yaml:"type"`
	Code    int    `yaml:"code"`
	Subcode int    `yaml:"subcode"`
	// Text is the exact message; empty where no source gives one.
	Text string `yaml:"text"`
}

// refusals are the errors that vectors name.
//
//nolint:gochecknoglobals // a constant table
var refusals = []Refusal{
	{"send_not_owner", 400, "OAuthException", 10, 2018300, "(#10) Message failed to send because another app is controlling this thread now."},
	{"not_owner", 400, "OAuthException", 100, 2534037, "(#100) The action is invalid since it's not the thread owner."},
	{"no_permission", 400, "OAuthException", 10, 0, "(#10) Application does not have permission for this action"},
	{"incorrect_app", 400, "OAuthException", 100, 2018164, "(#100) Incorrect App ID."},
	{"parameter", 400, "OAuthException", 100, 0, ""},
	{"outside_window", 400, "OAuthException", 10, 2018278, "(#10) This message is sent outside of allowed window."},
	{"outside_window_instagram", 400, "OAuthException", 10, 2534022, "(#10) This message is sent outside of allowed window."},
	{"missing_permission", 400, "OAuthException", 200, 0, ""},
	{"action_and_message", 400, "OAuthException", 100, 2018014, "(#100) Cannot send both message and state at the same time"},
	{"user_thread", 400, "OAuthException", 10, 2018336, ""},
	{"no_role", 400, "OAuthException", 100, 2018171, "(#100) Only available to Primary and Secondary Receivers."},
	{"no_user", 400, "OAuthException", 100, 2018001, "(#100) No matching user found"},
	{"rate", 400, "OAuthException", 613, 0, ""},
	{"person_gone", 400, "OAuthException", 551, 1545041, "(#551) This person isn't available right now."},
}

func refusal(name string) (Refusal, error) {
	names := make([]string, 0, len(refusals))
	for _, r := range refusals {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Refusal{}, fmt.Errorf("unknown refusal %q, want one of %s", name, strings.Join(names, ", "))
}

// answered is an answer as it came.
type answered struct {
	status int
	body   []byte
}

func (a answered) String() string {
	return fmt.Sprintf("%d %s", a.status, strings.TrimSpace(string(a.body)))
}

// compareAnswer returns what differs, "" for nothing.
func (c *run) compareAnswer(want Answer, got answered) string {
	if want == (Answer{}) {
		return ""
	}
	ok := got.status == 200
	body, err := decode(got.body)
	if err == nil && want.What == "refused" {
		r, _ := refusal(want.Rest) // was read before
		ok = r.matches(got.status, body)
	} else if ok && err == nil {
		ok = c.answers(want, body)
	}
	if ok && err == nil {
		return ""
	}
	return fmt.Sprintf("answer: want %s\n        got  %s", c.explain(want), got)
}

// explain writes an answer out.
func (c *run) explain(a Answer) string {
	if a.What != "refused" {
		return a.String()
	}
	r, _ := refusal(a.Rest)
	return fmt.Sprintf("%d code %d subcode %d %s", r.Status, r.Code, r.Subcode, r.Text)
}

// matches compares an error; keys that Graph may add are not looked at.
func (r Refusal) matches(status int, body any) bool {
	e, _ := field(body, "error").(map[string]any)
	subcode := json.Number("0")
	if s, ok := e["error_subcode"].(json.Number); ok {
		subcode = s
	}
	text, _ := e["message"].(string)
	return status == r.Status && e["code"] == json.Number(fmt.Sprint(r.Code)) && subcode == json.Number(fmt.Sprint(r.Subcode)) &&
		e["type"] == r.Type && text != "" && (r.Text == "" || text == r.Text)
}

// answers compares an answer with status 200.
func (c *run) answers(want Answer, body any) bool {
	switch want.What {
	case "success":
		return differs(map[string]any{"success": true}, body) == ""
	case "result":
		return differs(map[string]any{"result": "success"}, body) == ""
	case "action":
		return differs(map[string]any{"recipient_id": c.personID()}, body) == ""
	case "sent":
		return differs(map[string]any{"recipient_id": c.personID(), "message_id": someText}, body) == ""
	case "owner":
		return c.tellsOwner(want.Rest, body)
	case "receivers":
		return slices.Equal(c.ids(strings.Fields(want.Rest)), listed(body))
	case "is_owner":
		return differs(want.Rest == "true", first(body)["is_owner"]) == ""
	case "status":
		status := map[string]any{"hop_v2": false, "msgr_multi_app": false, "ig_multi_app": false}
		if want.Rest != "none" {
			status[want.Rest] = true
		}
		return differs(status, field(body, "messaging_feature_status")) == ""
	}
	return false
}

// tellsOwner compares an answer of thread_owner: who has control and until
// when, or that somebody has, or that nobody has.
func (c *run) tellsOwner(who string, body any) bool {
	owner, has := first(body)["thread_owner"]
	if who == "none" {
		return has && owner == nil
	}
	o, isObject := owner.(map[string]any)
	if !isObject || differs(someNumber, o["expiration"]) != "" {
		return false
	}
	id, named := o["app_id"]
	if who == "hidden" {
		return !named
	}
	return id == c.id(who)
}

// first is the first element of data; an empty object when there is none.
func first(body any) map[string]any {
	if list, ok := field(body, "data").([]any); ok && len(list) > 0 {
		if o, ok := list[0].(map[string]any); ok {
			return o
		}
	}
	return map[string]any{}
}

// listed are the ids of a list, in ascending order.
func listed(body any) []string {
	list, _ := field(body, "data").([]any)
	ids := []string{}
	for _, item := range list {
		id, _ := field(item, "id").(string)
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}
