package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Survey is a customer feedback template. Source: protocol 6.8.
type Survey struct {
	Days      int // expires_in_days, 1 to 7, default 1
	Questions []string
}

// template reads an attachment's template.
func (m *Message) template(attachment []byte) {
	kind, payload := "", []byte(nil)
	for part := range members(attachment) {
		switch part.key {
		case "type":
			kind = strings.ToLower(scalar(part.value))
		case "payload":
			payload = part.value
		}
	}
	if kind != "template" || !isObject(payload) {
		return
	}
	m.Buttons = PostbackPayloads(payload)
	for part := range members(payload) {
		if part.key == "template_type" && strings.EqualFold(scalar(part.value), "customer_feedback") {
			m.survey(payload)
		}
	}
}

// feedback is a customer feedback template as it is written.
type feedback struct {
	Title       string          `json:"title"`
	Subtitle    string          `json:"subtitle"`
	ButtonTitle string          `json:"button_title"`
	Days        json.RawMessage `json:"expires_in_days"`
	Privacy     struct {
		URL string `json:"url"`
	} `json:"business_privacy"`
	Screens []struct {
		Questions []question `json:"questions"`
	} `json:"feedback_screens"`
}

type question struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	FollowUp *struct {
		Type string `json:"type"`
	} `json:"follow_up"`
}

func (m *Message) survey(payload []byte) {
	m.Survey = &Survey{Days: 1}
	var f feedback
	if json.Unmarshal(payload, &f) != nil {
		m.flaw("The customer_feedback template has a field of the wrong type")
		return
	}
	m.surveyTexts(&f)
	m.surveyQuestions(&f)
	if days := scalar(f.Days); days != "" {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > 7 {
			m.flaw("Param expires_in_days must be an integer of 1 to 7")
			return
		}
		m.Survey.Days = n
	}
}

func (m *Message) surveyTexts(f *feedback) {
	for _, text := range []struct {
		name, value string
		most        int
	}{{"title", f.Title, 65}, {"subtitle", f.Subtitle, 80}, {"button_title", f.ButtonTitle, 20}} {
		if utf8.RuneCountInString(text.value) > text.most {
			m.flaw(fmt.Sprintf("Length of param %s must be less than or equal to %d", text.name, text.most))
		}
	}
	if f.Privacy.URL == "" {
		m.flaw("The parameter business_privacy[url] is required")
	}
}

//nolint:gochecknoglobals // a constant table
var questionTypes = []string{"csat", "nps", "ces", "free_form"}

func (m *Message) surveyQuestions(f *feedback) {
	if len(f.Screens) != 1 || len(f.Screens[0].Questions) != 1 {
		m.flaw("A customer_feedback template has exactly one screen with one question")
	}
	for _, screen := range f.Screens {
		for _, q := range screen.Questions {
			m.Survey.Questions = append(m.Survey.Questions, q.ID)
			m.question(q)
		}
	}
}

func (m *Message) question(q question) {
	switch {
	case q.ID == "":
		m.flaw("The parameter questions[id] is required")
	case !slices.Contains(questionTypes, strings.ToLower(q.Type)):
		m.flaw("Param questions[type] must be one of {" + strings.Join(questionTypes, ", ") + "}")
	case q.FollowUp != nil && !strings.EqualFold(q.FollowUp.Type, "free_form"):
		m.flaw("Param follow_up[type] must be free_form")
	}
}
