package demoapps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// faqBot answers questions that it knows and passes the others on.
type faqBot struct {
	graph *graphClient
	// misses counts, by person, the questions not understood in a row.
	misses map[string]int
}

// topic is a question that the bot knows, by words that appear in it.
type topic struct {
	words  []string
	answer string
}

func topics() []topic {
	return []topic{
		{[]string{"order", "orders", "parcel"}, "Order 4711 left our warehouse yesterday and arrives tomorrow."},
		{[]string{"open", "opening", "hours"}, "We are open every day from 8 am to 8 pm."},
		{[]string{"bag", "bags", "baggage", "luggage"}, "One bag of up to 23 kg travels free on every ACME Air flight."},
		{[]string{"refund", "cancel"}, "Tickets can be cancelled up to 24 hours before departure; the refund takes 5 days."},
		{[]string{"thanks", "thank", "bye", "goodbye"}, "You are welcome. Have a good flight!"},
		{[]string{"price", "prices", "cost", "ticket", "tickets"}, "Tickets start at 49 euros; see acme.example/flights."},
	}
}

const (
	faqGreeting = "Hello, this is the ACME Air bot. What can I do for you?"
	faqRephrase = "Sorry, I did not get that. Ask about orders, opening hours, baggage or refunds, or say \"agent\"."
	faqHandover = "One moment, I am passing you to an agent."
)

func (b *faqBot) messaging(ctx context.Context, e *event) error {
	switch {
	case e.Message != nil && !e.Message.IsEcho:
		asked := e.Message.Text
		if q := e.Message.QuickReply; q != nil && q.Payload != "" {
			asked = q.Payload
		}
		return b.answer(ctx, e.person(), asked)
	case e.Postback != nil:
		return b.answer(ctx, e.person(), e.Postback.Payload)
	case e.Take != nil, e.Pass != nil:
		delete(b.misses, e.person())
	}
	return nil
}

// standby is what the bot may hear and not answer.
func (b *faqBot) standby(context.Context, *event) error { return nil }

func (b *faqBot) answer(ctx context.Context, person, asked string) error {
	said := words(asked)
	mentions := func(some ...string) bool {
		return slices.ContainsFunc(some, func(w string) bool { return slices.Contains(said, w) })
	}
	if mentions("agent", "human", "person", "representative") {
		return b.passOn(ctx, person, "asked for an agent: "+asked)
	}
	for _, t := range topics() {
		if mentions(t.words...) {
			delete(b.misses, person)
			_, err := b.graph.say(ctx, person, t.answer)
			return err
		}
	}
	if mentions("hello", "hi", "hey", "started") {
		delete(b.misses, person)
		return b.greet(ctx, person)
	}
	return b.miss(ctx, person, asked)
}

// miss asks once, and passes on the second time.
func (b *faqBot) miss(ctx context.Context, person, asked string) error {
	if len(b.misses) >= maxRemembered {
		clear(b.misses)
	}
	b.misses[person]++
	if b.misses[person] > 1 {
		return b.passOn(ctx, person, "not understood twice: "+asked)
	}
	_, err := b.graph.say(ctx, person, faqRephrase)
	return err
}

// passOn tells the person, then passes control with what was asked.
func (b *faqBot) passOn(ctx context.Context, person, why string) error {
	delete(b.misses, person)
	if _, err := b.graph.say(ctx, person, faqHandover); err != nil {
		return fmt.Errorf("telling the person: %w", err)
	}
	return b.graph.pass(ctx, person, LiveAgent, shorten(why, 500))
}

func (b *faqBot) greet(ctx context.Context, person string) error {
	button := func(title, payload string) object {
		return object{"type": "postback", "title": title, "payload": payload}
	}
	_, err := b.graph.send(ctx, person, object{"attachment": object{"type": "template", "payload": object{
		"template_type": "button", "text": faqGreeting,
		"buttons": []object{button("Where is my order?", "ORDER"), button("Opening hours", "HOURS"), button("Talk to an agent", "AGENT")},
	}}})
	return err
}

// words are the words of a text in lower case.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

func shorten(text string, limit int) string {
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}
