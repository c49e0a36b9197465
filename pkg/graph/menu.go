package graph

import (
	"encoding/json"
	"fmt"
	"strings"
)

// menu is a persistent menu for one locale as it is written.
type menu struct {
	Locale   string     `json:"locale"`
	Disabled bool       `json:"composer_input_disabled"`
	Items    []menuItem `json:"call_to_actions"`
}

type menuItem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	URL     string `json:"url"`
	Payload string `json:"payload"`
}

// checkMenu checks a persistent_menu. Source: protocol 2.3.
func checkMenu(raw []byte) string {
	var v []menu
	if fault := list(raw, &v); fault != "" {
		return fault
	}
	for _, m := range v {
		if len(m.Items) > maxMenuItems {
			return fmt.Sprintf("[call_to_actions] has more than %d entries", maxMenuItems)
		}
		if len(m.Items) == 0 && !m.Disabled {
			return "[call_to_actions] is required unless composer_input_disabled is true"
		}
		for _, item := range m.Items {
			if fault := item.check(); fault != "" {
				return fault
			}
		}
	}
	return locales(v, func(m menu) string { return m.Locale })
}

func (i menuItem) check() string {
	if fault := length("title", i.Title, maxMenuTitle); fault != "" {
		return fault
	}
	switch i.Type {
	case "postback":
		return length("payload", i.Payload, maxPayload)
	case "web_url":
		if !isAddress(i.URL, "http", "https") {
			return "[url] must be an http or https URL"
		}
		return ""
	}
	return "[type] must be one of {web_url, postback}"
}

// checkIceBreakers checks ice_breakers in both documented forms: questions by
// locale, and the older plain list of questions.
func checkIceBreakers(raw []byte) string {
	type breaker struct{ Question, Payload string }
	type localized struct {
		breaker
		Locale  string
		Actions []breaker `json:"call_to_actions"`
	}
	var v []localized
	if fault := list(raw, &v); fault != "" {
		return fault
	}
	var plain []breaker
	for _, entry := range v {
		if entry.Actions == nil && entry.Locale == "" {
			plain = append(plain, entry.breaker)
		}
	}
	lists := [][]breaker{plain}
	if len(plain) != len(v) {
		if fault := locales(v, func(l localized) string { return l.Locale }); fault != "" {
			return fault
		}
		for _, entry := range v {
			lists = append(lists, entry.Actions)
		}
	}
	for _, questions := range lists {
		if len(questions) > maxIceBreakers {
			return fmt.Sprintf(" has more than %d questions", maxIceBreakers)
		}
		for _, q := range questions {
			if fault := first(length("question", q.Question, maxQuestion), length("payload", q.Payload, maxPayload)); fault != "" {
				return fault
			}
		}
	}
	return ""
}

// MaxUserItems is how many different payloads a person's own menu may have.
const MaxUserItems = 200

// UserSettings is custom_user_settings.
type UserSettings struct {
	Person uint64
	// Menu is the person's own menu as JSON, Payloads those of its items; both
	// are empty for a removal and a question.
	Menu     json.RawMessage
	Payloads []string
}

// DecodeUserMenu reads a POST of custom_user_settings. The error is an *Error:
// 100/2018001 for a psid that is no id, else 100.
func DecodeUserMenu(p Params) (UserSettings, error) {
	person, err := psid(p)
	if err != nil {
		return UserSettings{}, err
	}
	if !p.Has("persistent_menu") {
		return UserSettings{}, MissingParameter("persistent_menu")
	}
	value, err := propertyValue(p, property{"persistent_menu", checkMenu})
	if err != nil {
		return UserSettings{}, err
	}
	u := UserSettings{Person: person, Menu: value, Payloads: PostbackPayloads(value)}
	if len(u.Payloads) > MaxUserItems {
		return u, InvalidParameter(fmt.Sprintf("Param persistent_menu has more than %d postbacks", MaxUserItems))
	}
	return u, nil
}

// DecodeUserRemoval reads a DELETE of custom_user_settings.
func DecodeUserRemoval(p Params) (UserSettings, error) {
	person, err := psid(p)
	if err != nil {
		return UserSettings{}, err
	}
	params := p.List("params")
	if len(params) == 0 {
		return UserSettings{}, MissingParameter("params")
	}
	for i, name := range params {
		if !strings.EqualFold(name, "persistent_menu") {
			return UserSettings{}, NotOneOf(fmt.Sprintf("params[%d]", i), name, []string{"persistent_menu"})
		}
	}
	return UserSettings{Person: person}, nil
}

// DecodeUserQuestion reads a GET of custom_user_settings.
func DecodeUserQuestion(p Params) (UserSettings, error) {
	person, err := psid(p)
	return UserSettings{Person: person}, err
}

func psid(p Params) (uint64, error) {
	if p.Text("psid") == "" {
		return 0, MissingParameter("psid")
	}
	person, ok := parseID(p.Text("psid"))
	if !ok {
		return 0, NoUser()
	}
	return person, nil
}
