package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
)

// Bounds of what people can write. Source: protocol 1, 5.
const (
	maxText        = 2000
	maxPayload     = 1000
	maxAttachments = 30
	maxEdits       = 5
)

// MessageOptions are the rarer parts of a message.
type MessageOptions struct {
	// QuickReply is the payload of the quick reply tapped, "" for typed text.
	QuickReply string
	// Attachments are at most 30.
	Attachments []Attachment
	// ReplyTo is the message answered, "" for none.
	ReplyTo string
}

// Attachment is a file that a person sends: its type (image, video, audio,
// file, …) and where it is.
type Attachment struct {
	Type, URL string
}

// Message makes a person write a text, send attachments or both, and returns
// the message's id. Like all that people do it returns when the webhook is on
// its way, not when it has arrived; zero for page or person means the default;
// ErrInvalid, ErrNotFound and ErrBusy are possible and leave no trace.
func (s *Service) Message(page, person uint64, text string, o MessageOptions) (string, error) {
	var id string
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if text == "" && len(o.Attachments) == 0 {
			return fmt.Errorf("%w: a message needs a text or an attachment", ErrInvalid)
		}
		if err := checkMessage(text, o); err != nil {
			return err
		}
		m := message{Text: text, Attachments: attachmentsOf(o.Attachments)}
		if o.QuickReply != "" {
			m.QuickReply = &payload{o.QuickReply}
		}
		if o.ReplyTo != "" {
			m.ReplyTo = &mid{o.ReplyTo}
		}
		id = t.write(m, personSees(text, o.Attachments))
		return nil
	})
	return id, err
}

func checkMessage(text string, o MessageOptions) error {
	if err := checkLength("text", text, maxText); err != nil {
		return err
	}
	if err := checkLength("quick reply", o.QuickReply, maxPayload); err != nil {
		return err
	}
	if len(o.Attachments) > maxAttachments {
		return fmt.Errorf("%w: %d attachments, at most %d", ErrInvalid, len(o.Attachments), maxAttachments)
	}
	for _, a := range o.Attachments {
		if a.Type == "" {
			return fmt.Errorf("%w: an attachment needs a type", ErrInvalid)
		}
	}
	return nil
}

func checkLength(what, text string, limit int) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s is not UTF-8", ErrInvalid, what)
	}
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%w: %s has %d characters, at most %d", ErrInvalid, what, n, limit)
	}
	return nil
}

func attachmentsOf(list []Attachment) json.RawMessage {
	if len(list) == 0 {
		return nil
	}
	type wire struct {
		Type    string            `json:"type"`
		Payload map[string]string `json:"payload"`
	}
	out := make([]wire, 0, len(list))
	for _, a := range list {
		out = append(out, wire{a.Type, map[string]string{"url": a.URL}})
	}
	return encode(out)
}

func personSees(text string, list []Attachment) string {
	parts := make([]string, 0, 1+len(list))
	if text != "" {
		parts = append(parts, text)
	}
	for _, a := range list {
		parts = append(parts, "["+a.Type+"]")
	}
	return strings.Join(parts, " ")
}

// write adds a new message of the person.
func (t *turn) write(m message, seen string) string {
	m.Mid = t.service.newMid()
	t.facts.activity(t.at)
	t.facts.Done = false // a new message brings the thread back (protocol 12.13)
	t.facts.Own = said{Mid: m.Mid}
	t.fromPerson(element{Message: &m})
	t.say(SpeakerPerson, m.Mid, seen, nil)
	return m.Mid
}

// Tap is a button tapped.
type Tap struct {
	Mid, Payload, Title string
}

// Postback makes a person tap something and returns what. With both payload
// and title empty it is the latest button; with one of them the latest button
// or menu item that has it, and for a payload that nobody has seen the payload
// itself. ErrNotFound means that there is nothing to tap.
//
// Every button and menu on the platform was set by Baton's app, so a tap gives
// it control even when the inbox had it. Source: protocol 6.9.
func (s *Service) Postback(page, person uint64, payload, title string) (Tap, error) {
	var tap Tap
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if err := checkLength("payload", payload, maxPayload); err != nil {
			return err
		}
		if err := checkLength("title", title, maxPayload); err != nil {
			return err
		}
		b, err := t.find(payload, title)
		if err != nil {
			return err
		}
		t.facts.activity(t.at)
		t.facts.InboxUntil = 0
		tap = Tap{Mid: t.service.newMid(), Payload: b.Payload, Title: b.Title}
		t.fromPerson(element{Postback: &postback{Mid: tap.Mid, Title: b.Title, Payload: b.Payload}})
		t.say(SpeakerPerson, tap.Mid, "["+b.Title+"]", nil)
		return nil
	})
	return tap, err
}

// find looks for a button: those under messages, latest first, then the
// person's own menu, then the page's.
func (t *turn) find(payload, title string) (button, error) {
	known := append([]button(nil), t.service.menuButtons(t.page.ID, t.facts.Menu)...)
	known = append(known, t.facts.Buttons...)
	for _, b := range slices.Backward(known) {
		if (payload == "" || b.Payload == payload) && (title == "" || b.Title == title) {
			return b, nil
		}
	}
	switch {
	case payload == "":
		return button{}, fmt.Errorf("%w: no button %q to tap", ErrNotFound, title)
	case title == "":
		title = payload
	}
	return button{Title: title, Payload: payload}, nil
}

// AdOptions are the rarer parts of an ad.
type AdOptions struct {
	// Ref is the ad's ref parameter.
	Ref string
	// ReceivingApp is the app that the ad itself routes to, zero for none;
	// ReceivingDays its window, sent as it is, zero for none.
	ReceivingApp  uint64
	ReceivingDays int
}

// Ad makes a person come from an ad: with a text it is their message that names
// the ad, and its id is returned; without one they have only opened the thread.
func (s *Service) Ad(page, person, ad uint64, text string, o AdOptions) (string, error) {
	var id string
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if ad == 0 {
			return fmt.Errorf("%w: the ad's id is missing", ErrInvalid)
		}
		if err := checkLength("text", text, maxText); err != nil {
			return err
		}
		r := &referral{
			Ref: o.Ref, AdID: decimal(ad), Source: "ADS", Type: "OPEN_THREAD", Context: &adContext{AdTitle: "Ad " + decimal(ad)},
			ReceivingApp: control.AppID(o.ReceivingApp), ReceivingDays: o.ReceivingDays,
		}
		if text != "" {
			id = t.write(message{Text: text, Referral: r}, text)
			return nil
		}
		t.refer(r, "[opens ad "+decimal(ad)+"]")
		return nil
	})
	return id, err
}

// Referral makes a person follow a link with a ref parameter into the thread.
func (s *Service) Referral(page, person uint64, ref string) error {
	return s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if ref == "" {
			return fmt.Errorf("%w: the link's ref is missing", ErrInvalid)
		}
		if err := checkLength("ref", ref, maxText); err != nil {
			return err
		}
		t.refer(&referral{Ref: ref, Source: "SHORTLINK", Type: "OPEN_THREAD"}, "[follows link "+ref+"]")
		return nil
	})
}

func (t *turn) refer(r *referral, seen string) {
	t.facts.activity(t.at)
	t.fromPerson(element{Referral: r})
	t.say(SpeakerPerson, "", seen, nil)
}

// Optin makes a person agree to notifications.
func (s *Service) Optin(page, person uint64, payload string) error {
	return s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if err := checkLength("payload", payload, maxPayload); err != nil {
			return err
		}
		t.facts.activity(t.at)
		t.fromPerson(element{Optin: &optin{
			Type: "notification_messages", Payload: payload, Token: t.service.newToken("optin"), Status: "NOT_REFRESHED",
		}})
		t.say(SpeakerPerson, "", "[agrees to notifications]", nil)
		return nil
	})
}
