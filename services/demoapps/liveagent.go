package demoapps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// goodbye is how live-agent ends; the survey app listens for it.
const goodbye = "Thank you for flying with ACME Air. Goodbye!"

// liveAgent is the app in which people of the business answer.
type liveAgent struct {
	graph        *graphClient
	releaseAfter time.Duration
}

func (l *liveAgent) messaging(ctx context.Context, e *event) error {
	switch {
	case e.Pass != nil:
		return l.greet(ctx, e.person(), e.Pass)
	case e.Message != nil && !e.Message.IsEcho:
		return l.answer(ctx, e.person(), e.Message.Text)
	}
	return nil
}

// standby is what the agents may read along.
func (l *liveAgent) standby(context.Context, *event) error { return nil }

// greet is what the agent says on getting control; a pass to somebody else is
// none of its business.
func (l *liveAgent) greet(ctx context.Context, person string, pass *handover) error {
	if !pass.to(LiveAgent) {
		return nil
	}
	text := "Hello, this is Lena from ACME Air. How can I help?"
	if pass.Metadata != "" {
		text = "Hello, this is Lena from ACME Air. I have read what you wrote. How can I help?"
	}
	_, err := l.graph.say(ctx, person, text)
	return err
}

func (l *liveAgent) answer(ctx context.Context, person, asked string) error {
	said := words(asked)
	ends := slices.ContainsFunc(said, func(w string) bool {
		return slices.Contains([]string{"bye", "goodbye", "thanks", "thank"}, w)
	})
	if ends {
		return l.end(ctx, person)
	}
	text := "Let me look into that for you."
	if strings.Contains(strings.ToLower(asked), "bag") {
		text = "I have found your bag: it is on the next flight to you."
	}
	_, err := l.graph.say(ctx, person, text)
	return err
}

// end says goodbye, stays on the line for a moment, and gives control up.
func (l *liveAgent) end(ctx context.Context, person string) error {
	if _, err := l.graph.say(ctx, person, goodbye); err != nil {
		return fmt.Errorf("saying goodbye: %w", err)
	}
	if err := wait(ctx, l.releaseAfter); err != nil {
		return err
	}
	return l.graph.release(ctx, person)
}
