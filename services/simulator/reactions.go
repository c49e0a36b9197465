package simulator

import (
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// emoji are the reactions that people have. Source: protocol 5.
func emoji(reaction string) (string, bool) {
	e, ok := map[string]string{
		"smile": "😀", "angry": "😠", "sad": "😢", "wow": "😮", "love": "❤️", "like": "👍", "dislike": "👎", "other": "🎉",
	}[reaction]
	return e, ok
}

// React makes a person react to a message, "" for the page's latest; an empty
// reaction takes theirs back.
func (s *Service) React(page, person uint64, on, kind string) error {
	return s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if on == "" {
			on = t.facts.Said.Mid
		}
		if on == "" {
			return fmt.Errorf("%w: the page has said nothing to react to", ErrNotFound)
		}
		r := reaction{Mid: on, Action: "unreact"}
		if kind != "" {
			e, ok := emoji(kind)
			if !ok {
				return fmt.Errorf("%w: reaction %q", ErrInvalid, kind)
			}
			r.Reaction, r.Emoji, r.Action = kind, e, "react"
		}
		t.fromPerson(element{Reaction: &r})
		t.say(SpeakerPerson, "", "["+r.Action+" "+r.Emoji+"]", nil)
		return nil
	})
}

// Edit makes a person change their latest message, at most five times, and
// returns its id.
func (s *Service) Edit(page, person uint64, text string) (string, error) {
	var id string
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if text == "" {
			return fmt.Errorf("%w: the new text is missing", ErrInvalid)
		}
		if err := checkLength("text", text, maxText); err != nil {
			return err
		}
		if t.facts.Own.Mid == "" {
			return fmt.Errorf("%w: no message to edit", ErrNotFound)
		}
		if t.facts.Own.Edits == maxEdits {
			return fmt.Errorf("%w: a message is edited at most %d times", ErrInvalid, maxEdits)
		}
		t.facts.Own.Edits++
		id = t.facts.Own.Mid
		t.fromPerson(element{Edit: &edit{Mid: id, Text: text, Count: t.facts.Own.Edits}})
		t.say(SpeakerPerson, id, "[edits: "+text+"]", nil)
		return nil
	})
	return id, err
}

// Unsend makes a person take their latest message back and returns its id. The
// platform reports this on Instagram; the simulator does on Pages too.
func (s *Service) Unsend(page, person uint64) (string, error) {
	var id string
	err := s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if t.facts.Own.Mid == "" {
			return fmt.Errorf("%w: no message to take back", ErrNotFound)
		}
		id = t.facts.Own.Mid
		t.facts.Own = said{}
		t.fromPerson(element{Message: &message{Mid: id, IsDeleted: true}})
		t.say(SpeakerPerson, id, "[takes a message back]", nil)
		return nil
	})
	return id, err
}

// Read makes a person read what the page wrote. After a send they do so by
// themselves.
func (s *Service) Read(page, person uint64) error {
	return s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if t.facts.Said.Mid == "" {
			return fmt.Errorf("%w: the page has said nothing to read", ErrNotFound)
		}
		t.reads()
		return nil
	})
}

func (t *turn) reads() {
	r := read{Watermark: t.at}
	if t.page.Object == control.ObjectInstagram {
		r = read{Mid: t.facts.Said.Mid}
	}
	t.fromPerson(element{Read: &r})
}

// Feedback makes a person answer the first question of the latest survey, with
// an optional text for its follow-up.
func (s *Service) Feedback(page, person uint64, score, followUp string) error {
	return s.act(control.ThreadKey{Asset: page, Person: person}, func(t *turn) error {
		if len(t.facts.Survey) == 0 {
			return fmt.Errorf("%w: no survey to answer", ErrNotFound)
		}
		if score == "" {
			return fmt.Errorf("%w: the answer is missing", ErrInvalid)
		}
		q := t.facts.Survey[0]
		a := answer{Type: q.Type, Payload: score}
		if followUp != "" {
			if !q.FollowUp {
				return fmt.Errorf("%w: the survey has no follow-up question", ErrInvalid)
			}
			a.FollowUp = &answer{Type: "free_form", Payload: followUp}
		}
		t.facts.activity(t.at)
		t.facts.Survey = nil
		screen := feedbackScreen{ID: q.Screen, Questions: map[string]answer{q.ID: a}}
		t.fromPerson(element{Feedback: &feedback{Screens: []feedbackScreen{screen}}})
		t.say(SpeakerPerson, "", "[answers "+score+"]", nil)
		return nil
	})
}
