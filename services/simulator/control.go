package simulator

import (
	"net/http"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
)

// maxHandoverMetadata bounds the metadata of pass and take. Source: protocol 1.
const maxHandoverMetadata = 2000

// passControl is POST pass_thread_control: Baton's app hands the thread to the
// inbox. To itself, or to an app that the platform does not know, it cannot.
func (s *Service) passControl(_ *http.Request, c *call) (reply, error) {
	key, err := c.handover()
	if err != nil {
		return reply{}, err
	}
	target, isID := control.ParseID(c.params.text("target_app_id"))
	if !isID || !control.AppID(target).IsInbox() {
		return reply{}, &graphError{Code: 100, Subcode: 2018164, Message: "(#100) Incorrect App ID."}
	}
	err = s.act(key, func(t *turn) error {
		if c.stranger(t) {
			return c.noPerson()
		}
		if t.facts.inboxOwns(t.at) && c.switches.StrictControl {
			return errNotOwner()
		}
		t.facts.InboxUntil = t.at + inboxWindow
		return nil
	})
	return ok(map[string]bool{"success": true}), err
}

// takeControl is POST take_thread_control: Baton's app, the primary receiver on
// the platform, takes the thread from the inbox.
func (s *Service) takeControl(_ *http.Request, c *call) (reply, error) {
	key, err := c.handover()
	if err != nil {
		return reply{}, err
	}
	err = s.act(key, func(t *turn) error {
		if c.stranger(t) {
			return c.noPerson()
		}
		if !t.facts.inboxOwns(t.at) && c.switches.StrictControl {
			return errParam("The app already is the thread owner")
		}
		t.facts.InboxUntil = 0
		return nil
	})
	return ok(map[string]bool{"success": true}), err
}

// handover reads what pass and take have in common.
func (c *call) handover() (control.ThreadKey, error) {
	if utf8.RuneCountInString(c.params.text("metadata")) > maxHandoverMetadata {
		return control.ThreadKey{}, errParam("Length of param metadata must be less than or equal to %d", maxHandoverMetadata)
	}
	return c.recipient()
}

func errNotOwner() error {
	return &graphError{Code: 100, Subcode: 2534037, Message: "(#100) The action is invalid since it's not the thread owner."}
}

// threadOwner is GET thread_owner. Baton's app is the primary receiver, so it is
// told who has control.
func (s *Service) threadOwner(_ *http.Request, c *call) (reply, error) {
	person, isID := control.ParseID(c.params.text("recipient"))
	if !isID {
		return reply{}, c.noPerson()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(control.ThreadKey{Asset: c.page.ID, Person: person}, c.page)
	if c.stranger(t) {
		return reply{}, c.noPerson()
	}
	owner := map[string]any{"app_id": decimal(s.config.AppID)}
	if t.facts.inboxOwns(t.at) {
		owner = map[string]any{"app_id": t.inbox().String(), "expiration": int64((t.facts.InboxUntil + 999) / 1000)}
	}
	return ok(dataList(map[string]any{"thread_owner": owner})), nil
}

func dataList(elements ...any) map[string]any {
	if elements == nil {
		elements = []any{}
	}
	return map[string]any{"data": elements}
}
