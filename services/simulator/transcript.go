package simulator

import (
	"context"

	"github.com/baton-router/baton/pkg/control"
)

// Speaker says whose line it is.
type Speaker string

// The speakers. Which of Baton's apps speaks for the page the platform does not
// know, and the person does not see.
const (
	SpeakerPerson Speaker = "person"
	SpeakerPage   Speaker = "page"
	SpeakerInbox  Speaker = "inbox"
)

// Line is one thing said or done on a thread, as the person sees it.
type Line struct {
	// Number grows by one per line over all threads, from 1.
	Number uint64 `json:"number"`
	// At is the simulator's time.
	At      control.Millis `json:"at"`
	Page    uint64         `json:"page"`
	Person  uint64         `json:"person"`
	Speaker Speaker        `json:"speaker"`
	// Mid is the message's id, empty for what has none.
	Mid string `json:"mid,omitempty"`
	// Text is what is seen; what is not text is told in brackets.
	Text string `json:"text"`
	// Buttons are the titles of the buttons and quick replies under it.
	Buttons []string `json:"buttons,omitempty"`
}

// transcript keeps the latest lines of all threads. It is guarded by
// Service.mu; changed is closed and replaced with each line.
type transcript struct {
	lines   []Line
	next    uint64
	changed chan struct{}
}

func newTranscript() transcript {
	return transcript{next: 1, changed: make(chan struct{})}
}

func (t *transcript) append(lines []Line) {
	if len(lines) == 0 {
		return
	}
	for _, l := range lines {
		l.Number = t.next
		t.next++
		t.lines = append(t.lines, l)
	}
	if len(t.lines) > 2*maxLines {
		t.lines = append([]Line(nil), t.lines[len(t.lines)-maxLines:]...)
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// newest returns the last n lines; they are shared, not to be changed.
func (t *transcript) newest(n int) []Line {
	if len(t.lines) > n {
		return t.lines[len(t.lines)-n:]
	}
	return t.lines
}

// Filter chooses lines of the transcript.
type Filter struct {
	// Page and Person are zero for any.
	Page, Person uint64
	// After is the number of the last line already seen.
	After uint64
}

func (f Filter) wants(l Line) bool {
	return l.Number > f.After && (f.Page == 0 || f.Page == l.Page) && (f.Person == 0 || f.Person == l.Person)
}

// Transcript returns what was said on a thread, oldest first, as far back as it
// is kept (the latest 10,000 lines over all threads; the latest 1,000 after a
// restart). An empty page or person means the default; ErrInvalid and
// ErrNotFound are possible.
func (s *Service) Transcript(page, person uint64) ([]Line, error) {
	key, _, err := s.resolve(control.ThreadKey{Asset: page, Person: person})
	if err != nil {
		return nil, err
	}
	lines, _ := s.linesAfter(Filter{Page: key.Asset, Person: key.Person})
	return lines, nil
}

// Watch calls see for each line that the filter chooses, first those kept, then
// those to come, in order and outside any lock. It blocks until ctx ends, the
// service has stopped, or see returns an error, which it returns; else it
// returns nil. A watcher slower than the transcript's bound misses lines, which
// the numbers show.
func (s *Service) Watch(ctx context.Context, f Filter, see func(Line) error) error {
	for {
		lines, changed := s.linesAfter(f)
		for _, l := range lines {
			if err := see(l); err != nil {
				return err
			}
			f.After = l.Number
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		case <-s.stopping:
			return nil
		}
	}
}

func (s *Service) linesAfter(f Filter) ([]Line, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Line
	for _, l := range s.transcript.lines {
		if f.wants(l) {
			out = append(out, l)
		}
	}
	return out, s.transcript.changed
}
