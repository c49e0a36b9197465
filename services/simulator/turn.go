package simulator

import (
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

// reorderHold is how long a webhook waits to be overtaken.
const reorderHold = 250 * time.Millisecond

// turn is one thing that somebody does on a thread. What it collects is kept
// only when it succeeds.
type turn struct {
	service *Service
	page    *Page
	key     control.ThreadKey
	known   bool // the thread was there before
	facts   facts
	at      control.Millis
	// switches are those in force for what the turn sends.
	switches Switches
	hooks    []*hook
	lines    []Line
}

// act runs do as a turn on the thread of a page and a person. An error of do is
// returned and leaves everything as it was.
func (s *Service) act(key control.ThreadKey, do func(*turn) error) error {
	key, page, err := s.resolve(key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(key, page)
	if err := do(t); err != nil {
		return err
	}
	return s.commit(t)
}

// resolve fills in the defaults of an empty page or person.
func (s *Service) resolve(key control.ThreadKey) (control.ThreadKey, *Page, error) {
	pages := s.pages()
	if key.Asset == 0 && len(pages) == 1 {
		key.Asset = pages[0].ID
	}
	if key.Person == 0 {
		key.Person = s.config.DefaultPerson
	}
	if key.Asset == 0 || key.Person == 0 {
		return key, nil, fmt.Errorf("%w: name the page and the person", ErrInvalid)
	}
	for i := range pages {
		if pages[i].ID == key.Asset {
			return key, &pages[i], nil
		}
	}
	return key, nil, fmt.Errorf("%w: page %d", ErrNotFound, key.Asset)
}

func (s *Service) begin(key control.ThreadKey, page *Page) *turn {
	t := &turn{service: s, page: page, key: key, switches: s.switches(page.ID)}
	if th := s.threads[key]; th != nil {
		t.known, t.facts = true, th.facts
	}
	t.at = max(s.millis(), t.facts.LastAt+1)
	t.facts.LastAt = t.at
	if !t.facts.inboxOwns(t.at) {
		t.facts.InboxUntil = 0
	}
	return t
}

// commit makes a turn's outcome the state and puts its webhooks on their way.
func (s *Service) commit(t *turn) error {
	if s.waiting+len(t.hooks) > maxPending {
		return ErrBusy
	}
	th := s.threads[t.key]
	if th == nil {
		if err := s.makeRoom(); err != nil {
			return err
		}
		th = newThread(t.key)
		s.threads[t.key] = th
	}
	s.turns++
	th.facts, th.touched = t.facts, s.turns
	s.transcript.append(t.lines)
	s.enqueue(th, t.switches, t.hooks)
	s.changed()
	return nil
}

// makeRoom forgets the quiet thread that was used longest ago when there are
// as many threads as are kept.
func (s *Service) makeRoom() error {
	if len(s.threads) < maxThreads {
		return nil
	}
	var oldest *thread
	for _, th := range s.threads {
		quiet := len(th.pending) == 0 && !th.running
		if quiet && (oldest == nil || th.touched < oldest.touched) {
			oldest = th
		}
	}
	if oldest == nil {
		return ErrBusy
	}
	delete(s.threads, oldest.key)
	return nil
}

// inbox is the id of the page's inbox.
func (t *turn) inbox() control.AppID {
	if t.page.Object == control.ObjectInstagram {
		return control.InstagramInbox
	}
	return control.PageInbox
}

// fromPerson adds a webhook about something the person did.
func (t *turn) fromPerson(e element) {
	e.Sender, e.Recipient = &party{decimal(t.key.Person)}, party{decimal(t.key.Asset)}
	t.push(e, t.facts.inboxOwns(t.at))
}

// fromPage adds the echo of a message to the person.
func (t *turn) fromPage(m message) *hook {
	e := element{Sender: &party{decimal(t.key.Asset)}, Recipient: party{decimal(t.key.Person)}, Message: &m}
	return t.push(e, t.facts.inboxOwns(t.at))
}

// moved adds the webhook that tells Baton's app about a change of control. It
// goes to messaging: it is addressed to the app, whoever has control.
func (t *turn) moved(e element) {
	e.Sender, e.Recipient = &party{decimal(t.key.Person)}, party{decimal(t.key.Asset)}
	t.push(e, false)
}

func (t *turn) push(e element, standby bool) *hook {
	e.Timestamp = t.at
	escaped, err := webhook.AppendElement(nil, encode(e), webhook.Edit{})
	if err != nil {
		// Made by encode; what a send brings along was checked (outgoing).
		panic(fmt.Sprintf("simulator: element %+v: %v", e, err)) //nolint:forbidigo // a broken invariant
	}
	h := &hook{Element: escaped, EntryTime: t.at, Standby: standby}
	t.hooks = append(t.hooks, h)
	return h
}

// later moves the turn's time on, for the next of several webhooks.
func (t *turn) later() {
	t.at++
	t.facts.LastAt = t.at
}

func (t *turn) say(speaker Speaker, mid, text string, buttons []button) {
	titles := make([]string, 0, len(buttons))
	for _, b := range buttons {
		titles = append(titles, b.Title)
	}
	t.lines = append(t.lines, Line{
		At: t.at, Page: t.key.Asset, Person: t.key.Person,
		Speaker: speaker, Mid: mid, Text: text, Buttons: titles,
	})
}
