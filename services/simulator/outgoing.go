package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

// Bounds of what an app can send. Source: protocol 1, 6.8.
const (
	maxTextInstagram = 1000
	maxMetadata      = 1000
	maxQuickReplies  = 13
)

// outgoing is the message object of a send.
type outgoing struct {
	Text         string          `json:"text"`
	Attachment   *attachment     `json:"attachment"`
	Attachments  []attachment    `json:"attachments"`
	Metadata     string          `json:"metadata"`
	QuickReplies []quickReply    `json:"quick_replies"`
	ReplyTo      json.RawMessage `json:"reply_to"`

	tag string // of the call
}

type attachment struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`

	template template // of a template's payload
}

type quickReply struct {
	ContentType string `json:"content_type"`
	Title       string `json:"title"`
	Payload     string `json:"payload"`
}

// template is what the simulator reads of a template's payload.
type template struct {
	Type     string           `json:"template_type"`
	Text     string           `json:"text"`
	Title    string           `json:"title"`
	Subtitle string           `json:"subtitle"`
	Button   string           `json:"button_title"`
	Buttons  []templateButton `json:"buttons"`
	Elements []struct {
		Title   string           `json:"title"`
		Buttons []templateButton `json:"buttons"`
	} `json:"elements"`
	Screens []struct {
		Questions []struct {
			ID       string          `json:"id"`
			Type     string          `json:"type"`
			Title    string          `json:"title"`
			FollowUp json.RawMessage `json:"follow_up"`
		} `json:"questions"`
	} `json:"feedback_screens"`
	Privacy struct {
		URL string `json:"url"`
	} `json:"business_privacy"`
}

type templateButton struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Payload string `json:"payload"`
}

// outgoing reads and checks the message of a call, as far as that needs no
// thread.
func (c *call) outgoing() (*outgoing, error) {
	raw := c.params.text("message")
	if raw == "" {
		return nil, errParam("The parameter message is required")
	}
	m := &outgoing{tag: c.params.text("tag")}
	if err := json.Unmarshal([]byte(raw), m); err != nil || !fits(raw) {
		return nil, errParam("Param message must be a JSON object")
	}
	if err := c.checkTag(m.tag); err != nil {
		return nil, err
	}
	if err := c.checkText(m); err != nil {
		return nil, err
	}
	if err := m.checkQuickReplies(); err != nil {
		return nil, err
	}
	if m.Attachment != nil {
		return m, m.Attachment.check()
	}
	return m, nil
}

// fits reports whether a message can be part of a webhook: JSON that is strictly
// well-formed and not nested too deeply, its envelope included.
func fits(raw string) bool {
	const levels = 8
	wrapped := strings.Repeat(`{"in":`, levels) + raw + strings.Repeat("}", levels)
	_, err := webhook.AppendElement(nil, []byte(wrapped), webhook.Edit{})
	return err == nil
}

func (c *call) checkTag(tag string) error {
	kind := strings.ToUpper(c.params.text("messaging_type"))
	switch kind {
	case "", "RESPONSE", "UPDATE":
	case "MESSAGE_TAG":
		if tag == "" {
			return errParam("Param tag is required with messaging_type MESSAGE_TAG")
		}
	default:
		return errParam("Param messaging_type must be one of {RESPONSE, UPDATE, MESSAGE_TAG}")
	}
	switch strings.ToUpper(tag) {
	case "", "HUMAN_AGENT":
		return nil
	case "CUSTOMER_FEEDBACK":
		if c.page.Object == control.ObjectPage {
			return nil
		}
	}
	return errParam("Param tag: %s is not a tag of this platform, or no longer", tag)
}

func (c *call) checkText(m *outgoing) error {
	one := m.Text != "" || m.Attachment != nil || len(m.Attachments) > 0
	if !one || m.Text != "" && (m.Attachment != nil || len(m.Attachments) > 0) {
		return errParam("Param message needs either text or an attachment")
	}
	limit := maxText
	if c.page.Object == control.ObjectInstagram {
		limit = maxTextInstagram
	}
	if n := utf8.RuneCountInString(m.Text); n > limit {
		return errParam("Length of param message[text] must be less than or equal to %d", limit)
	}
	if utf8.RuneCountInString(m.Metadata) > maxMetadata {
		return errParam("Length of param message[metadata] must be less than or equal to %d", maxMetadata)
	}
	return nil
}

func (m *outgoing) checkQuickReplies() error {
	if len(m.QuickReplies) > maxQuickReplies {
		return errParam("Param message[quick_replies] must have at most %d elements", maxQuickReplies)
	}
	for _, q := range m.QuickReplies {
		switch q.ContentType {
		case "text":
			if q.Title == "" {
				return errParam("Param message[quick_replies] needs a title")
			}
		case "user_phone_number", "user_email":
		default:
			return errParam("Param message[quick_replies][content_type] is not known")
		}
	}
	return nil
}

// check reads and checks an attachment.
func (a *attachment) check() error {
	switch a.Type {
	case "audio", "file", "image", "video":
		return nil
	case "template":
	default:
		return errParam("Param message[attachment][type] must be one of {audio, file, image, template, video}")
	}
	if err := json.Unmarshal(a.Payload, &a.template); err != nil {
		return errParam("Param message[attachment][payload] must be a JSON object")
	}
	t := &a.template
	switch t.Type {
	case "":
		return errParam("Param message[attachment][payload][template_type] is required")
	case "button":
		if t.Text == "" || len(t.Buttons) == 0 || len(t.Buttons) > 3 {
			return errParam("A button template needs a text and one to three buttons")
		}
	case "generic":
		if len(t.Elements) == 0 || len(t.Elements) > 10 {
			return errParam("A generic template needs one to ten elements")
		}
	case "customer_feedback":
		return t.checkSurvey()
	}
	return nil
}

// checkSurvey applies the limits of the customer feedback template. Source:
// protocol 6.8.
func (t *template) checkSurvey() error {
	for _, part := range []struct {
		name, text string
		limit      int
	}{{"title", t.Title, 65}, {"subtitle", t.Subtitle, 80}, {"button_title", t.Button, 20}} {
		if utf8.RuneCountInString(part.text) > part.limit {
			return errParam("Length of param %s must be less than or equal to %d", part.name, part.limit)
		}
	}
	if t.Title == "" || t.Privacy.URL == "" {
		return errParam("A customer feedback template needs a title and business_privacy.url")
	}
	if len(t.Screens) != 1 || len(t.Screens[0].Questions) != 1 {
		return errParam("A customer feedback template needs one screen with one question")
	}
	switch q := t.Screens[0].Questions[0]; q.Type {
	case "csat", "nps", "ces", "free_form":
		return nil
	default:
		return errParam("Param feedback_screens: question type %q is not known", q.Type)
	}
}

func (m *outgoing) isSurvey() bool {
	return m.Attachment != nil && m.Attachment.template.Type == "customer_feedback"
}

func (m *outgoing) survey() []question {
	if !m.isSurvey() {
		return nil
	}
	var out []question
	for i, screen := range m.Attachment.template.Screens {
		for _, q := range screen.Questions {
			out = append(out, question{Screen: i, ID: q.ID, Type: q.Type, FollowUp: len(q.FollowUp) > 0})
		}
	}
	return out
}

// buttons are the postback buttons of a template; other kinds of buttons tell
// nobody that they were tapped.
func (m *outgoing) buttons() []button {
	if m.Attachment == nil {
		return nil
	}
	all := append([]templateButton(nil), m.Attachment.template.Buttons...)
	for _, e := range m.Attachment.template.Elements {
		all = append(all, e.Buttons...)
	}
	var out []button
	for _, b := range all {
		if b.Type == "postback" {
			out = append(out, button{Title: b.Title, Payload: b.Payload})
		}
	}
	return out
}

func (m *outgoing) quickReplies() []button {
	out := make([]button, 0, len(m.QuickReplies))
	for _, q := range m.QuickReplies {
		out = append(out, button{Title: q.Title, Payload: q.Payload})
	}
	return out
}

// seen is what the person sees of the message.
func (m *outgoing) seen() string {
	switch {
	case m.Text != "":
		return m.Text
	case m.isSurvey():
		t := m.Attachment.template
		return fmt.Sprintf("[survey: %s: %s]", t.Title, t.Screens[0].Questions[0].Title)
	case m.Attachment == nil:
		return fmt.Sprintf("[%d attachments]", len(m.Attachments))
	case m.Attachment.Type != "template":
		return "[" + m.Attachment.Type + "]"
	}
	t := m.Attachment.template
	parts := []string{t.Text}
	for _, e := range t.Elements {
		parts = append(parts, e.Title)
	}
	if text := strings.TrimSpace(strings.Join(parts, " ")); text != "" {
		return text
	}
	return "[" + t.Type + "]"
}

// attachments is the list that an echo shows.
func (m *outgoing) attachments() json.RawMessage {
	type wire struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload,omitempty"`
	}
	all := m.Attachments
	if m.Attachment != nil {
		all = []attachment{*m.Attachment}
	}
	if len(all) == 0 {
		return nil
	}
	out := make([]wire, 0, len(all))
	for _, a := range all {
		out = append(out, wire{a.Type, a.Payload})
	}
	return encode(out)
}
