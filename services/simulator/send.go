package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// echoWait bounds how long a call is held until its echo was accepted.
const echoWait = 10 * time.Second

// Messaging windows after the person's latest message. Source: protocol 1.
const (
	standardWindow = 24 * control.Hour
	longWindow     = 7 * control.Day // HUMAN_AGENT and surveys
)

// sendMessage is POST messages: a message, or a sender action.
func (s *Service) sendMessage(r *http.Request, c *call) (reply, error) {
	key, err := c.recipient()
	if err != nil {
		return reply{}, err
	}
	if c.params.has("sender_action") {
		return s.senderAction(c, key)
	}
	m, err := c.outgoing()
	if err != nil {
		return reply{}, err
	}
	var sent sentMessage
	err = s.act(key, func(t *turn) error {
		if err := t.allows(c, m); err != nil {
			return err
		}
		sent = t.send(c.switches, m)
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return s.answerSend(r, c, key, sent), nil
}

// sentMessage is a message that the person has, and the webhooks that still
// have to say so.
type sentMessage struct {
	mid   string
	hooks []*hook
	first *hook // echo to be accepted before the answer, nil for none
}

// send makes a message part of the thread.
func (t *turn) send(w Switches, m *outgoing) sentMessage {
	sent := sentMessage{mid: t.service.newMid()}
	t.facts.Said = said{Mid: sent.mid}
	if b := m.buttons(); len(b) > 0 {
		all := append(append([]button(nil), t.facts.Buttons...), b...)
		t.facts.Buttons = all[max(0, len(all)-maxButtons):]
	}
	if q := m.survey(); len(q) > 0 {
		t.facts.Survey = q
	}
	t.say(SpeakerPage, sent.mid, m.seen(), append(m.buttons(), m.quickReplies()...))
	echo := t.echo(w, m, sent.mid)
	t.receipts(w, sent.mid)
	if w.EchoFirst {
		sent.first = echo
		return sent
	}
	// Held until the answer is out.
	sent.hooks, t.hooks = t.hooks, nil
	return sent
}

func (t *turn) echo(w Switches, m *outgoing, mid string) *hook {
	if w.EchoNever {
		return nil
	}
	e := message{Mid: mid, IsEcho: true, AppID: control.AppID(t.service.config.AppID), Text: m.Text, Attachments: m.attachments()}
	if !w.LoseMetadata {
		e.Metadata = m.Metadata
	}
	h := t.fromPage(e)
	h.settled = make(chan struct{})
	late := time.Time{}
	if w.EchoLate > 0 {
		late = t.service.clock().Add(w.EchoLate)
	}
	h.Due = late
	if w.EchoTwice {
		t.hooks = append(t.hooks, &hook{Element: h.Element, EntryTime: h.EntryTime, Standby: h.Standby, Due: late})
	}
	return h
}

// receipts are what the person's side reports of a message. On Instagram there
// are no delivery receipts.
func (t *turn) receipts(w Switches, mid string) {
	if !w.DropDeliveries && t.page.Object == control.ObjectPage {
		t.later()
		t.fromPerson(element{Delivery: &delivery{Mids: []string{mid}, Watermark: t.at}})
	}
	if !w.DropReads {
		t.later()
		t.reads()
	}
}

// answerSend answers a message that was sent, before or after its echo.
func (s *Service) answerSend(r *http.Request, c *call, key control.ThreadKey, sent sentMessage) reply {
	if sent.first != nil {
		s.awaitSettled(r, sent.first)
	}
	answer := ok(map[string]string{"recipient_id": decimal(key.Person), "message_id": sent.mid})
	if c.switches.FailAfterSend {
		answer.status, answer.body = s.failure(&graphError{
			Status: http.StatusInternalServerError, Code: 2, Transient: true,
			Message: "(#2) An unexpected error has occurred. Please retry your request later.",
		})
	}
	answer.after = func() { s.follow(key, c.switches, sent.hooks) }
	return answer
}

// follow puts the webhooks of a message sent on their way. They are not
// refused when the queue is full: the message is out.
func (s *Service) follow(key control.ThreadKey, w Switches, hooks []*hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	th := s.threads[key]
	if th == nil { // made room for another in between
		th = newThread(key)
		s.threads[key] = th
	}
	s.enqueue(th, w, hooks)
	s.changed()
}

func (s *Service) awaitSettled(r *http.Request, h *hook) {
	timer := time.NewTimer(echoWait)
	defer timer.Stop()
	select {
	case <-h.settled:
	case <-timer.C:
	case <-r.Context().Done():
	case <-s.stopping:
	}
}

// holdBack delays an answer.
func (s *Service) holdBack(r *http.Request, d time.Duration) {
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	case <-s.stopping:
	}
}

// recipient reads the person of a call. The thread is the token's asset's.
func (c *call) recipient() (control.ThreadKey, error) {
	raw := c.params.text("recipient")
	if raw == "" {
		return control.ThreadKey{}, errParam("The parameter recipient is required")
	}
	var p struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal([]byte(raw), &p); err != nil {
		return control.ThreadKey{}, errParam("Param recipient must be a JSON object")
	}
	id, ok := control.ParseID(strings.Trim(string(p.ID), `"`))
	if !ok {
		return control.ThreadKey{}, c.noPerson()
	}
	return control.ThreadKey{Asset: c.page.ID, Person: id}, nil
}

func (c *call) noPerson() error {
	if c.page.Object == control.ObjectInstagram {
		return &graphError{Code: 100, Subcode: 2534014, Message: "(#100) No matching Instagram user found"}
	}
	return &graphError{Code: 100, Subcode: 2018001, Message: "(#100) No matching user found"}
}

// stranger reports whether the person has to be refused as unknown. By default
// everyone with a well-formed id exists: people wrote before the simulator did,
// or reached Baton another way.
func (c *call) stranger(t *turn) bool {
	return c.switches.StrictPeople && t.facts.LastUserAt == 0
}

// allows applies the platform's rules to a message: the person is known, the
// inbox does not have the thread, the window is open.
func (t *turn) allows(c *call, m *outgoing) error {
	human := strings.EqualFold(m.tag, "HUMAN_AGENT")
	switch {
	case c.stranger(t):
		return c.noPerson()
	case t.facts.inboxOwns(t.at) && !human:
		return errControlled()
	}
	window := standardWindow
	if human || m.isSurvey() {
		window = longWindow
	}
	if t.facts.LastUserAt != 0 && t.at-t.facts.LastUserAt > window {
		return c.outsideWindow()
	}
	return nil
}

func errControlled() error {
	return &graphError{
		Code: 10, Subcode: 2018300,
		Message: "(#10) Message failed to send because another app is controlling this thread now.",
	}
}

func (c *call) outsideWindow() error {
	const text = "(#10) This message is sent outside of allowed window."
	if c.page.Object == control.ObjectInstagram {
		return &graphError{Code: 10, Subcode: 2534022, Message: text}
	}
	return &graphError{Code: 10, Subcode: 2018278, Message: text}
}

// senderAction is typing_on, typing_off or mark_seen; the person's app shows
// it, nothing else happens.
func (s *Service) senderAction(c *call, key control.ThreadKey) (reply, error) {
	if c.params.has("message") {
		return reply{}, &graphError{Code: 100, Subcode: 2018014, Message: "(#100) Cannot send both message and state at the same time"}
	}
	switch strings.ToLower(c.params.text("sender_action")) {
	case "typing_on", "typing_off", "mark_seen", "react", "unreact":
	default:
		return reply{}, errParam("Param sender_action must be one of {TYPING_ON, TYPING_OFF, MARK_SEEN, REACT, UNREACT}")
	}
	err := s.act(key, func(t *turn) error {
		switch {
		case c.stranger(t):
			return c.noPerson()
		case t.facts.inboxOwns(t.at):
			return errControlled()
		}
		return nil
	})
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]string{"recipient_id": decimal(key.Person)}), nil
}
