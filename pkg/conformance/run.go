package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// run is a trial under way.
type run struct {
	*trial
	kit *kit

	sequence int
	gone     map[string]bool // apps that have left the page
	silent   bool            // the platform sends no echoes
	// unsettled: events are on their way that the next call must find decided.
	unsettled bool
	owner     string      // as far as the steps say
	it        any         // the latest event, as every app should see it
	body      []byte      // its webhook
	sent      sentMessage // the latest send that was accepted

	mu struct {
		sync.Mutex
		received map[string][]delivery
		fences   map[string]string // the latest fence that each app has seen
		changed  chan struct{}     // closed at the next delivery
		closed   bool              // what comes now is of no interest
	}
}

// sentMessage is a message that the server accepted from an app.
type sentMessage struct {
	by, mid, text, metadata string
}

func newRun(t *trial, k *kit) *run {
	c := &run{trial: t, kit: k, gone: map[string]bool{}}
	c.mu.received, c.mu.fences, c.mu.changed = map[string][]delivery{}, map[string]string{}, make(chan struct{})
	return c
}

// errFailed is a set-up that the server refused.
var errFailed = errors.New("what is given could not be brought about")

// try runs the steps; it returns the first difference, "" when there is none.
func (c *run) try(ctx context.Context) (string, error) {
	for i := range c.vector.Given {
		if err := c.prepare(ctx, &c.vector.Given[i]); err != nil {
			return "", fmt.Errorf("line %d: %w", c.vector.Given[i].line, err)
		}
	}
	if len(c.vector.Given) > 0 {
		if err := c.fence(ctx); err != nil {
			return "", err
		}
		c.collect()
	}
	for i := range c.vector.When {
		s := &c.vector.When[i]
		difference, err := c.step(ctx, s)
		if err != nil {
			return "", fmt.Errorf("line %d: %w", s.line, err)
		}
		if difference != "" {
			return fmt.Sprintf("%s:%d: %s\n%s", c.vector.file, s.line, s.describe(), difference), nil
		}
	}
	return "", nil
}

// prepare runs a step of what is given: its answer must be good, or the one the
// vector names; what is heard is of no interest.
func (c *run) prepare(ctx context.Context, s *Step) error {
	got, err := c.do(ctx, s)
	if err != nil {
		return err
	}
	want := s.Answer
	if want == (Answer{}) && s.Call != "" && got.status != 200 {
		return fmt.Errorf("%w: %s was answered %s", errFailed, s.describe(), got)
	}
	if difference := c.compareAnswer(want, got); difference != "" {
		return fmt.Errorf("%w: %s", errFailed, difference)
	}
	return c.awaitEcho(ctx, s, got)
}

// awaitEcho waits for the echo of a message that is part of what is given, so
// that it does not get into what is compared.
func (c *run) awaitEcho(ctx context.Context, s *Step, got answered) error {
	held := s.Survey != nil && c.owner != "" && c.owner != s.By
	if s.Call != "send" || s.Action != "" || got.status != 200 || c.silent || held {
		return nil
	}
	return c.await(ctx, "the echo of a send", func() bool {
		for _, list := range c.mu.received {
			for _, d := range list {
				if field(field(d.element, "message"), "mid") == c.sent.mid {
					return true
				}
			}
		}
		return false
	})
}

// step runs a step that is compared and returns what differs.
func (c *run) step(ctx context.Context, s *Step) (string, error) {
	if s.Race != nil {
		return c.race(ctx, s)
	}
	unchanged, err := c.expiration(ctx, s.Until.Unchanged)
	if err != nil {
		return "", err
	}
	began := c.kit.time.now()
	got, err := c.do(ctx, s)
	if err != nil {
		return "", err
	}
	if !s.compared() {
		return "", c.forget(ctx, s)
	}
	if difference := c.compareAnswer(s.Answer, got); difference != "" {
		return difference, nil
	}
	heard, err := c.listen(ctx, s.Heard)
	if err != nil {
		return "", err
	}
	differences := []string{heard}
	if s.Owner != "" {
		c.owner = strings.TrimPrefix(s.Owner, "idle")
		lasts := lifetime{s.Until, began, c.kit.time.now(), unchanged}
		owner, err := c.compareOwner(ctx, s, lasts)
		if err != nil {
			return "", err
		}
		differences = append(differences, owner)
	}
	return strings.Join(slices.DeleteFunc(differences, func(d string) bool { return d == "" }), "\n"), nil
}

// compared reports whether a step of when is itself under test.
func (s *Step) compared() bool {
	return s.Own == "" && s.Button == nil && s.Platform == "" && (s.Wait == 0 || s.Owner != "" || s.Heard != nil)
}

// forget drops what a step that only brings something about has caused.
func (c *run) forget(ctx context.Context, s *Step) error {
	if s.Own == "" && s.Button == nil {
		return nil
	}
	if err := c.fence(ctx); err != nil {
		return err
	}
	c.collect()
	return nil
}

// race runs calls at the same time; it must end as one of the outcomes.
func (c *run) race(ctx context.Context, s *Step) (string, error) {
	answers := make([]answered, len(s.Race))
	errs := make([]error, len(s.Race))
	var wg sync.WaitGroup
	for i := range s.Race {
		wg.Go(func() { answers[i], errs[i] = c.request(ctx, &s.Race[i]) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	for i := range s.Race {
		c.remember(&s.Race[i], answers[i])
	}
	var differences []string
	for i := range s.Outcomes {
		o := &s.Outcomes[i]
		var unlike []string
		for k := range o.Answers {
			if d := c.compareAnswer(o.Answers[k], answers[k]); d != "" {
				unlike = append(unlike, d)
			}
		}
		if unlike == nil {
			return c.outcome(ctx, s)
		}
		differences = append(differences, fmt.Sprintf("not outcome %d: %s", i+1, strings.Join(unlike, "\n")))
	}
	return strings.Join(differences, "\n"), nil
}

// outcome compares what followed a race with the outcomes that have its
// answers; those differ in what is heard.
func (c *run) outcome(ctx context.Context, s *Step) (string, error) {
	if err := c.awaitAll(ctx, func(letter string) int {
		least := -1
		for i := range s.Outcomes {
			if n := len(c.wanted(s.Outcomes[i].Heard)[letter]); least < 0 || n < least {
				least = n
			}
		}
		return least
	}, func(string) bool { return c.sent.mid != "" }); err != nil {
		return "", err
	}
	if err := c.fence(ctx); err != nil {
		return "", err
	}
	got := c.collect()
	var differences []string
	for i := range s.Outcomes {
		o := &s.Outcomes[i]
		difference := c.compareHeard(c.wanted(o.Heard), got)
		if difference == "" {
			now := c.kit.time.now()
			owner, err := c.compareOwner(ctx, &Step{Owner: o.Owner}, lifetime{began: now, ended: now})
			if err != nil || owner == "" {
				return "", err
			}
			difference = owner
		}
		differences = append(differences, fmt.Sprintf("not outcome %d: %s", i+1, difference))
	}
	return strings.Join(differences, "\n"), nil
}

// listen waits for what is to be heard and for the fence behind it, and
// compares.
func (c *run) listen(ctx context.Context, heard map[string]Heard) (string, error) {
	want := c.wanted(heard)
	late := func(letter string) bool { return c.deaf(letter) || slices.ContainsFunc(want[letter], Item.isEcho) }
	if err := c.awaitAll(ctx, func(letter string) int { return len(want[letter]) }, late); err != nil {
		return "", err
	}
	if err := c.fence(ctx); err != nil {
		return "", err
	}
	return c.compareHeard(want, c.collect()), nil
}

// isEcho reports whether an item comes by way of the platform, behind the
// answer of the call that caused it.
func (i Item) isEcho() bool { return i.What == "echo" || i.What == "survey" }

// awaitAll waits until each app that late names has as many deliveries as
// wanted. That they do not come in time is for the comparison to say.
func (c *run) awaitAll(ctx context.Context, wanted func(letter string) int, late func(letter string) bool) error {
	err := c.await(ctx, "deliveries", func() bool {
		for letter := range c.page.apps {
			if late(letter) && len(c.mu.received[letter]) < wanted(letter) {
				return false
			}
		}
		return true
	})
	if errors.Is(err, errLate) {
		return nil
	}
	return err
}

// wanted writes out who hears what: rest is every connected app that is not
// named.
func (c *run) wanted(heard map[string]Heard) map[string]Heard {
	want := maps.Clone(heard)
	if want == nil {
		want = map[string]Heard{}
	}
	rest, ok := want["rest"]
	delete(want, "rest")
	for _, letter := range c.page.connected() {
		if _, named := want[letter]; ok && !named && !c.gone[letter] && !c.outside(letter) {
			want[letter] = rest
		}
	}
	return want
}

// outside reports whether an app is in development and the person none of its
// testers.
func (c *run) outside(letter string) bool {
	s := c.page.settings.Apps[letter]
	return s.Development && !s.Tester
}

// deaf reports whether an app does not hear every event of the thread, and so
// not the fence.
func (c *run) deaf(letter string) bool {
	without := c.page.settings.Without[letter]
	return c.gone[letter] || c.outside(letter) || c.kit.server.Settle > 0 || slices.Contains(without, "standby")
}

// pause waits; only servers of others need it.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *run) personID() string { return fmt.Sprint(c.person) }

// id is the id of a party on the trial's page.
func (c *run) id(letter string) string {
	if letter == "N" {
		return c.kit.server.Platform.AppID
	}
	return c.kit.plan.partyID(c.page, letter)
}

func (c *run) ids(letters []string) []string {
	ids := make([]string, len(letters))
	for i, l := range letters {
		ids[i] = c.id(l)
	}
	slices.Sort(ids)
	return ids
}
