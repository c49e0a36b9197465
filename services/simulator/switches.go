package simulator

import (
	"fmt"
	"time"
)

// Switches are the faults that the platform shows. The zero value shows none.
// They are set at run time, for one page or for all pages that have none of
// their own, and forgotten at a restart.
type Switches struct {
	// EchoFirst sends the echo, and waits until ingress has accepted it,
	// before the call is answered.
	EchoFirst bool
	// EchoTwice sends each echo twice, byte for byte.
	EchoTwice bool
	// EchoNever sends none.
	EchoNever bool
	// EchoLate holds echoes back; later webhooks of the thread overtake them.
	EchoLate time.Duration
	// FailAfterSend answers 500 after the message was sent.
	FailAfterSend bool
	// LoseMetadata leaves the metadata out of echoes.
	LoseMetadata bool
	// OutOfOrder swaps neighbouring webhooks of a thread.
	OutOfOrder bool
	// WebhookDelay holds all webhooks back, AnswerDelay all Graph answers.
	WebhookDelay time.Duration
	AnswerDelay  time.Duration
	// DropDeliveries and DropReads leave the receipts out.
	DropDeliveries bool
	DropReads      bool
	// Refuse answers with an error; nothing is sent. Nil for none.
	Refuse *Refusal
	// StrictControl refuses a pass or take whose effect is already there, as
	// the platform's documentation says. Without it such a call succeeds.
	StrictControl bool
	// StrictPeople refuses calls about people who have not written here.
	StrictPeople bool
	// Calls is for how many calls of messages (sender actions apart),
	// pass_thread_control and take_thread_control the switches hold; then all
	// go off. Zero means until they are changed.
	Calls int
}

// Refusal is a Graph error to answer with.
type Refusal struct {
	// Edge is the edge refused; "" for every write.
	Edge string
	// Status is the HTTP status; zero means 400.
	Status int
	// Code and Subcode are the Graph error's; Subcode zero for none.
	Code, Subcode int
	// Message is the error's text; "" for a default.
	Message string
}

// Bounds of switches.
const (
	maxDelay = 10 * time.Minute
	maxCalls = 1_000_000
)

func (w Switches) validate() error {
	for _, d := range []time.Duration{w.EchoLate, w.WebhookDelay, w.AnswerDelay} {
		if d < 0 || d > maxDelay {
			return fmt.Errorf("%w: a delay is between 0 and %v, not %v", ErrInvalid, maxDelay, d)
		}
	}
	if w.EchoNever && (w.EchoFirst || w.EchoTwice || w.EchoLate > 0) {
		return fmt.Errorf("%w: an echo that never comes cannot come first, twice or late", ErrInvalid)
	}
	if w.EchoFirst && (w.EchoLate > 0 || w.WebhookDelay > 0) {
		return fmt.Errorf("%w: an echo cannot come both before the answer and late", ErrInvalid)
	}
	if w.Calls < 0 || w.Calls > maxCalls {
		return fmt.Errorf("%w: calls are between 0 and %d", ErrInvalid, maxCalls)
	}
	if r := w.Refuse; r != nil && (r.Code <= 0 || r.Status != 0 && (r.Status < 400 || r.Status > 599)) {
		return fmt.Errorf("%w: a refusal needs a code, and a status of 400 to 599", ErrInvalid)
	}
	return nil
}

// SetSwitches replaces the switches of a page, or with page zero those of all
// pages that have none of their own. They hold for what happens from now on.
// ErrInvalid names a combination that cannot be; ErrNotFound an unknown page.
func (s *Service) SetSwitches(page uint64, w Switches) error {
	if err := w.validate(); err != nil {
		return err
	}
	if err := s.checkPage(page); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[page] = w
	return nil
}

// ClearSwitches removes the switches of a page, or with page zero those of all
// pages that have none of their own. ErrNotFound is for an unknown page.
func (s *Service) ClearSwitches(page uint64) error {
	if err := s.checkPage(page); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, page)
	return nil
}

// SwitchesOf returns the switches in force for a page; page zero those of all
// pages that have none of their own.
func (s *Service) SwitchesOf(page uint64) Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.switches(page)
}

func (s *Service) checkPage(page uint64) error {
	if page != 0 && s.pageByID(page) == nil {
		return fmt.Errorf("%w: page %d", ErrNotFound, page)
	}
	return nil
}

// switches needs mu.
func (s *Service) switches(page uint64) Switches {
	if w, ok := s.faults[page]; ok {
		return w
	}
	return s.faults[0]
}

// callSwitches returns the switches for one call and counts it.
func (s *Service) callSwitches(page uint64) Switches {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.switches(page)
	if w.Calls == 0 {
		return w
	}
	home := page
	if _, ok := s.faults[page]; !ok {
		home = 0
	}
	left := w
	left.Calls--
	if left.Calls == 0 {
		left = Switches{}
	}
	s.faults[home] = left
	return w
}

// refuses reports whether a write of an edge is to be refused.
func (w Switches) refuses(edge string) *Refusal {
	if w.Refuse == nil || w.Refuse.Edge != "" && w.Refuse.Edge != edge {
		return nil
	}
	return w.Refuse
}
