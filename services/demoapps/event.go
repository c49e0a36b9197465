package demoapps

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// webhookBody is what the platform posts.
type webhookBody struct {
	Object string `json:"object"`
	Entry  []struct {
		ID        string  `json:"id"`
		Messaging []event `json:"messaging"`
		Standby   []event `json:"standby"`
	} `json:"entry"`
}

// event is one event of a webhook, as far as the apps read it.
type event struct {
	Sender    party           `json:"sender"`
	Recipient party           `json:"recipient"`
	Message   *message        `json:"message"`
	Postback  *postback       `json:"postback"`
	Pass      *handover       `json:"pass_thread_control"`
	Take      *handover       `json:"take_thread_control"`
	Request   json.RawMessage `json:"request_thread_control"`
	Roles     json.RawMessage `json:"app_roles"`
	Feedback  json.RawMessage `json:"messaging_feedback"`
	Delivery  json.RawMessage `json:"delivery"`
	Read      json.RawMessage `json:"read"`
	Reaction  json.RawMessage `json:"reaction"`
	Edit      json.RawMessage `json:"message_edit"`
	Referral  json.RawMessage `json:"referral"`
	Optin     json.RawMessage `json:"optin"`
}

type party struct {
	ID string `json:"id"`
}

type message struct {
	Mid        string `json:"mid"`
	Text       string `json:"text"`
	IsEcho     bool   `json:"is_echo"`
	AppID      uint64 `json:"app_id"`
	QuickReply *struct {
		Payload string `json:"payload"`
	} `json:"quick_reply"`
}

type postback struct {
	Title   string `json:"title"`
	Payload string `json:"payload"`
}

type handover struct {
	// NewOwner comes as a string or, by an app's own wish, as a number.
	NewOwner json.RawMessage `json:"new_owner_app_id"`
	Metadata string          `json:"metadata"`
}

// to reports whether a handover gives control to an app.
func (h *handover) to(app uint64) bool {
	return strings.Trim(string(h.NewOwner), `"`) == strconv.FormatUint(app, 10)
}

// person is the person of the event's thread: in an echo the recipient.
func (e *event) person() string {
	if e.Message != nil && e.Message.IsEcho {
		return e.Recipient.ID
	}
	return e.Sender.ID
}

// kind names the event.
func (e *event) kind() string {
	switch {
	case e.Message != nil && e.Message.IsEcho:
		return "echo"
	case e.Message != nil:
		return "message"
	case e.Postback != nil:
		return "postback"
	case e.Pass != nil:
		return "pass_thread_control"
	case e.Take != nil:
		return "take_thread_control"
	}
	for _, k := range []struct {
		name string
		raw  json.RawMessage
	}{
		{"request_thread_control", e.Request},
		{"app_roles", e.Roles},
		{"messaging_feedback", e.Feedback},
		{"delivery", e.Delivery},
		{"read", e.Read},
		{"reaction", e.Reaction},
		{"message_edit", e.Edit},
		{"referral", e.Referral},
		{"optin", e.Optin},
	} {
		if k.raw != nil {
			return k.name
		}
	}
	return "other"
}

// text is what the person wrote or tapped.
func (e *event) text() string {
	switch {
	case e.Message != nil:
		return e.Message.Text
	case e.Postback != nil:
		return e.Postback.Title
	case e.Pass != nil:
		return e.Pass.Metadata
	case e.Take != nil:
		return e.Take.Metadata
	}
	return ""
}

// Delivery is one event as an app received it.
type Delivery struct {
	// App is the receiving app, Label its short name.
	App   uint64
	Label string
	// Channel is messaging or standby.
	Channel string
	// Kind is message, echo, postback, delivery, read, pass_thread_control, ….
	Kind string
	// Person is the person's id, "" for events of the page.
	Person string
	// Text is what was written or tapped, or a handover's metadata.
	Text string
	// ID is the delivery id, "" without one; Attempt its attempt as sent.
	ID, Attempt string
}

// String is the delivery in one line: → faq-bot messaging "where is my order?".
// What comes on standby is named without its text.
func (d Delivery) String() string {
	line := "→ " + d.Label + " " + d.Channel
	if d.Kind != "message" {
		line += " " + d.Kind
	}
	if d.Channel == "messaging" && d.Text != "" {
		line += fmt.Sprintf(" %q", d.Text)
	}
	return line
}
