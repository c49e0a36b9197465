package bus_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/baton-router/baton/pkg/bus"
)

const askedOn = "test.asker"

// question is one that was heard.
type question struct {
	text   string
	answer func(string) error
}

// asking returns an asker and the questions that it asks.
func asking(t *testing.T) (bus.Asker, <-chan question) {
	t.Helper()
	c := dialSole(t, start(t, false))
	heard := make(chan question, 128)
	if err := c.Hear(askedOn, func(text string, answer func(string) error) { heard <- question{text, answer} }); err != nil {
		t.Fatal(err)
	}
	return must[bus.Asker](t)(c.NewAsker()), heard
}

// giveUp asks, and ends the question when it was heard.
func giveUp(t *testing.T, a bus.Asker, heard <-chan question, text string) question {
	t.Helper()
	ctx, cancel := context.WithCancelCause(brief(t))
	defer cancel(nil)
	gone := errors.New("given up")
	asked := make(chan question, 1)
	go func() {
		asked <- <-heard
		cancel(gone)
	}()
	if answer, err := a.Ask(ctx, askedOn, text); !errors.Is(err, gone) {
		t.Fatalf("given up: %q %v", answer, err)
	}
	return <-asked
}

// TestALateAnswerIsNobodys: the answer to a question that was given up comes while
// the next one is under way, and before its own: it is not taken for it.
func TestALateAnswerIsNobodys(t *testing.T) {
	t.Parallel()
	a, heard := asking(t)
	first := giveUp(t, a, heard, "first")
	answered := make(chan error, 1)
	go func() {
		second := <-heard
		answered <- errors.Join(first.answer("to the first"), second.answer("to the "+second.text))
	}()
	answer, err := a.Ask(brief(t), askedOn, "second")
	if err != nil || answer != "to the second" {
		t.Errorf("answer %q, %v", answer, err)
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// TestLateAnswersWait: answers that come when nothing is asked are passed over by
// the next question, and so are second answers.
func TestLateAnswersWait(t *testing.T) {
	t.Parallel()
	a, heard := asking(t)
	const late = 64 // there is room for no more
	var given []question
	for n := range late {
		given = append(given, giveUp(t, a, heard, fmt.Sprint(n)))
	}
	for _, q := range given {
		if err := q.answer("late"); err != nil {
			t.Fatal(err)
		}
	}
	for ctx := brief(t); a.Waiting() < late; {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d answers came", a.Waiting(), late)
		}
		runtime.Gosched()
	}
	for n := range 3 {
		go func() {
			q := <-heard
			_, _ = q.answer("to "+q.text), q.answer("to "+q.text+" again")
		}()
		if answer, err := a.Ask(brief(t), askedOn, fmt.Sprint("question ", n)); err != nil || answer != fmt.Sprint("to question ", n) {
			t.Errorf("question %d: %q, %v", n, answer, err)
		}
	}
}

// TestAskerEndsWithoutAnswer: nobody who listens is said at once, nobody who
// answers after the time-out.
func TestAskerEndsWithoutAnswer(t *testing.T) {
	t.Parallel()
	a, heard := asking(t)
	if _, err := a.Ask(brief(t), askedOn+".nobody", "?"); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody listens: %v", err)
	}
	began := time.Now()
	if _, err := a.Ask(brief(t), askedOn, "?"); !errors.Is(err, bus.ErrNoAnswerInTime) || time.Since(began) < time.Second {
		t.Errorf("nobody answers: %v after %v", err, time.Since(began))
	}
	if q := <-heard; q.answer("too late") != nil {
		t.Error("not answered")
	}
}

// TestTheServersAckIsPlain: the answer to a record needs no JSON package.
func TestTheServersAckIsPlain(t *testing.T) {
	t.Parallel()
	_, c := sole(t)
	a := must[bus.Asker](t)(c.NewAsker())
	answer := must[string](t)(a.Ask(brief(t), "baton.log.0", "record"))
	if sequence, ok := bus.PlainAck(answer); !ok || sequence != 1 {
		t.Errorf("%s: %d %v", answer, sequence, ok)
	}
}
