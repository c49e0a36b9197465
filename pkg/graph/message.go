package graph

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a message, in characters.
const (
	MaxText            = 2000
	MaxMessageMetadata = 1000
)

// Message is a call of the messages edge: a message or a sender action.
type Message struct {
	Recipient Recipient
	// Type is messaging_type in capitals, RESPONSE when absent. Tag is in
	// capitals, Action (sender_action) in small letters.
	Type, Tag, Action string
	PersonaID         string
	NotificationType  string
	// Message is the message object as JSON; nil for a sender action.
	Message []byte
	// Metadata and Text are the message's own.
	Metadata, Text string
	// Buttons are the payloads of the postback buttons of its template, in
	// order; QuickReplies those of its quick replies.
	Buttons, QuickReplies []string
	// Survey is set for a customer feedback template.
	Survey *Survey
	// Control is set when the send carries a thread_control.
	Control *SendControl
	// fault is what is wrong with the content.
	fault *Error
}

// SendControl is a thread_control on a send. Target is zero for the default
// app.
type SendControl struct {
	Release bool
	Target  uint64
}

// DecodeMessage reads a call of the messages edge. The error says what cannot
// be understood: recipient, both or none of message and sender_action,
// thread_control. What a message may not contain is told by Check, because the
// right to send comes before it.
func DecodeMessage(p Params) (Message, error) {
	d := edge{params: p}
	m := Message{
		Type: upper(p, "messaging_type"), Tag: upper(p, "tag"), Action: strings.ToLower(strings.TrimSpace(p.Text("sender_action"))),
		PersonaID: p.Text("persona_id"), NotificationType: upper(p, "notification_type"),
	}
	if m.Type == "" {
		m.Type = "RESPONSE"
	}
	m.Recipient = d.recipient()
	m.Message = d.object("message")
	m.Control = d.control()
	switch {
	case m.Action != "" && m.Message != nil:
		d.fail(ActionAndMessage())
	case m.Action == "" && m.Message == nil:
		d.fail(InvalidParameter("One of the parameters message and sender_action is required"))
	}
	if d.err != nil {
		return Message{}, d.err
	}
	m.read()
	return m, nil
}

func upper(p Params, name string) string { return strings.ToUpper(strings.TrimSpace(p.Text(name))) }

// recipient is one named by any key that sends accept.
func (d *edge) recipient() Recipient {
	r, err := decodeRecipient(d.params)
	switch {
	case err != nil:
		d.fail(err)
	case r.Key() == "":
		d.fail(NoUser())
	}
	return r
}

// object is an optional parameter that must be an object.
func (d *edge) object(name string) []byte {
	if strings.TrimSpace(d.params.Text(name)) == "" {
		return nil
	}
	raw, ok, err := d.params.JSON(name)
	switch {
	case err != nil:
		d.fail(AsError(err))
	case ok && !isObject(raw):
		d.fail(InvalidParameter("Param " + name + " must be an object"))
	}
	return raw
}

func (d *edge) control() *SendControl {
	raw := d.object("thread_control")
	if raw == nil || d.err != nil {
		return nil
	}
	kind, app := "", ""
	for m := range members(raw) {
		switch m.key {
		case "control_type":
			kind = strings.ToLower(scalar(m.value))
		case "app_id":
			app = scalar(m.value)
		}
	}
	c := &SendControl{Release: kind == "release" || kind == ""}
	if !c.Release && kind != "pass" {
		d.fail(InvalidParameter("Param thread_control[control_type] must be one of {pass, release}"))
	}
	if app != "" && !c.Release {
		id, ok := parseID(app)
		if !ok {
			d.fail(IncorrectApp())
		}
		c.Target = id
	}
	return c
}

// IsHumanAgent reports whether the send carries that tag.
func (m *Message) IsHumanAgent() bool { return m.Tag == "HUMAN_AGENT" }

// Tags and messaging types. The retired ones are known, so that their refusal
// can say so.
//
//nolint:gochecknoglobals // constant tables
var (
	messageTypes = []string{"RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"}
	liveTags     = []string{"HUMAN_AGENT", "CUSTOMER_FEEDBACK"}
	retiredTags  = []string{"ACCOUNT_UPDATE", "CONFIRMED_EVENT_UPDATE", "POST_PURCHASE_UPDATE"}
)

// HasRetiredTag reports whether the tag is one that the platform has withdrawn.
func (m *Message) HasRetiredTag() bool { return slices.Contains(retiredTags, m.Tag) }

// Check says what is wrong with the content of the send: *Error with code 100,
// or nil.
func (m *Message) Check() error {
	switch {
	case !slices.Contains(messageTypes, m.Type):
		return InvalidParameter("Param messaging_type must be one of {" + strings.Join(messageTypes, ", ") + "}")
	case m.Tag != "" && !slices.Contains(liveTags, m.Tag) && !m.HasRetiredTag():
		return InvalidParameter("Param tag must be one of {" + strings.Join(liveTags, ", ") + "}")
	case m.HasRetiredTag():
		return InvalidParameter("The tag " + m.Tag + " is no longer available")
	case m.fault != nil:
		return m.fault
	}
	return nil
}

// read finds in the message what the rules need.
func (m *Message) read() {
	if m.Message == nil {
		return
	}
	var attachment []byte
	for part := range members(m.Message) {
		switch part.key {
		case "text":
			m.Text = scalar(part.value)
		case "metadata":
			m.Metadata = scalar(part.value)
		case "quick_replies":
			m.QuickReplies = AllPayloads(part.value)
		case "attachment":
			attachment = part.value
		}
	}
	switch {
	case m.Text != "" && isObject(attachment):
		m.flaw("Param message must have text or an attachment, not both")
	case m.Text == "" && !isObject(attachment) && !m.hasOther():
		m.flaw("Message cannot be empty, must provide valid attachment or text")
	case utf8.RuneCountInString(m.Text) > MaxText:
		m.flaw(fmt.Sprintf("Length of param message[text] must be less than or equal to %d", MaxText))
	case utf8.RuneCountInString(m.Metadata) > MaxMessageMetadata:
		m.flaw(fmt.Sprintf("Length of param message[metadata] must be less than or equal to %d", MaxMessageMetadata))
	}
	m.template(attachment)
}

func (m *Message) flaw(sentence string) {
	if m.fault == nil {
		m.fault = InvalidParameter(sentence)
	}
}

// hasOther reports whether the message carries content of a kind that Baton
// does not interpret.
func (m *Message) hasOther() bool {
	for part := range members(m.Message) {
		switch part.key {
		case "text", "metadata", "quick_replies", "attachment", "reply_to":
		default:
			return !isNull(part.value)
		}
	}
	return false
}
