package simulator

import (
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// InboxResult says how things stand after something a human did in the inbox.
type InboxResult struct {
	// Mid is the id of a reply, "" for the other actions.
	Mid string
	// InboxOwns reports who has the thread on the platform: the inbox or
	// Baton's app.
	InboxOwns bool
	// Moved reports whether the action changed that.
	Moved bool
}

// Reply makes the human in the inbox write to the person. It takes control for
// the inbox unless the thread is marked done. Source: protocol 6.11.
func (s *Service) Reply(page, person uint64, text string) (InboxResult, error) {
	return s.inInbox(page, person, func(t *turn, r *InboxResult) error {
		if text == "" {
			return fmt.Errorf("%w: the reply is empty", ErrInvalid)
		}
		if err := checkLength("text", text, maxText); err != nil {
			return err
		}
		if !t.facts.Done {
			r.Moved = t.inboxTakes()
		}
		r.Mid = t.service.newMid()
		m := message{Mid: r.Mid, IsEcho: true, Text: text}
		if t.page.Object == control.ObjectPage {
			m.AppID = t.inbox() // on Instagram a human's echo names no app
		}
		t.facts.Said = said{Mid: r.Mid}
		t.fromPage(m)
		t.say(SpeakerInbox, r.Mid, text, nil)
		return nil
	})
}

// Main makes the human move the thread to the main folder: the inbox takes
// control.
func (s *Service) Main(page, person uint64) (InboxResult, error) {
	return s.inInbox(page, person, func(t *turn, r *InboxResult) error {
		t.facts.Done = false
		r.Moved = t.inboxTakes()
		return nil
	})
}

// Done makes the human mark the thread done. When the inbox had control it goes
// back to Baton's app; else nobody hears of it.
func (s *Service) Done(page, person uint64) (InboxResult, error) {
	return s.inInbox(page, person, func(t *turn, r *InboxResult) error {
		t.facts.Done = true
		if r.Moved = t.facts.inboxOwns(t.at); r.Moved {
			t.facts.InboxUntil = 0
			t.moved(element{Pass: &handover{Previous: t.inbox().String(), New: decimal(t.service.config.AppID)}})
		}
		return nil
	})
}

// inInbox runs an action of the human, who sees existing threads only.
func (s *Service) inInbox(page, person uint64, do func(*turn, *InboxResult) error) (InboxResult, error) {
	var r InboxResult
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if !t.known {
			return fmt.Errorf("%w: nobody has written yet, the inbox is empty", ErrNotFound)
		}
		if err := do(t, &r); err != nil {
			return err
		}
		r.InboxOwns = t.facts.inboxOwns(t.at)
		return nil
	})
	if err != nil {
		return InboxResult{}, err
	}
	return r, nil
}

// inboxTakes moves control to the inbox, tells Baton's app, and reports whether
// it had it before.
func (t *turn) inboxTakes() bool {
	moved := !t.facts.inboxOwns(t.at)
	if moved {
		t.moved(element{Take: &handover{
			Previous: decimal(t.service.config.AppID), New: t.inbox().String(),
		}})
		t.later()
	}
	t.facts.InboxUntil = t.at + inboxWindow
	return moved
}
