package demoapps

import (
	"context"
)

const surveyThanks = "Thank you for your feedback!"

// survey asks how it was. It never has control of a thread for long: its survey
// waits until the thread is idle.
type survey struct {
	graph *graphClient
	// asked is the goodbye that was last answered with a survey.
	asked string
}

// messaging is the answer to a survey.
func (s *survey) messaging(ctx context.Context, e *event) error {
	if e.Feedback == nil {
		return nil
	}
	_, err := s.graph.say(ctx, e.person(), surveyThanks)
	return err
}

// standby is where it hears live-agent say goodbye: an echo of that app.
func (s *survey) standby(ctx context.Context, e *event) error {
	m := e.Message
	if m == nil || !m.IsEcho || m.AppID != LiveAgent || m.Text != goodbye || m.Mid == s.asked {
		return nil
	}
	s.asked = m.Mid
	_, err := s.graph.send(ctx, e.person(), object{"attachment": object{"type": "template", "payload": object{
		"template_type": "customer_feedback",
		"title":         "How was your chat with ACME Air?",
		"subtitle":      "One question only",
		"button_title":  "Rate us",
		"feedback_screens": []object{{"questions": []object{{
			"id": "csat", "type": "csat", "title": "How happy are you?", "score_label": "neg_pos", "score_option": "five_stars",
		}}}},
		"business_privacy": object{"url": "https://acme.example/privacy"},
	}}})
	return err
}
