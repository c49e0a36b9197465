package bus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
)

func letters(t *testing.T, c *bus.Conn) (got []string) {
	t.Helper()
	if err := c.ReadLetters(brief(t), 0, func(m bus.Message) error {
		got = append(got, string(m.Data))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLettersAreReadToTheirEnd(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, false))
	ensure(t, c, config())
	if got := letters(t, c); len(got) != 0 {
		t.Fatalf("of an empty stream: %q", got)
	}
	var want []string
	for i := range 5 {
		want = append(want, fmt.Sprint("letter ", i))
		must[uint64](t)(c.PublishLetters(brief(t), []byte(want[i])))
		if got := letters(t, c); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	var behind []string
	if err := c.ReadLetters(brief(t), 3, func(m bus.Message) error {
		behind = append(behind, string(m.Data))
		return nil
	}); err != nil || !slices.Equal(behind, want[3:]) {
		t.Errorf("behind the third %q, %v", behind, err)
	}
	if err := c.ReadLetters(brief(t), 5, func(bus.Message) error { return errors.New("there is none") }); err != nil {
		t.Error(err)
	}
	if first, last, err := c.LettersRange(brief(t)); first != 1 || last != 5 || err != nil {
		t.Errorf("range %d to %d, %v", first, last, err)
	}
	failure := errors.New("enough")
	if err := c.ReadLetters(brief(t), 0, func(bus.Message) error { return failure }); !errors.Is(err, failure) {
		t.Errorf("error of the reader: %v", err)
	}
}

// An installation that was made before there were dead letters gets the stream
// at its next start; every other missing stream is refused.
func TestLettersStreamIsAddedToAnOlderInstallation(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	id := ensure(t, c, config())
	fill(t, c, 0, 0, 3)
	js := administrator(t, s)
	if err := js.DeleteStream(t.Context(), bus.StreamLetters); err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.LettersAge, cfg.LettersBytes = time.Hour, 1<<20
	if again := ensure(t, c, cfg); again != id {
		t.Errorf("identity %v, then %v", id, again)
	}
	got := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamLetters)).CachedInfo().Config
	if got.MaxAge != time.Hour || got.MaxBytes != 1<<20 || got.Discard != jetstream.DiscardOld {
		t.Errorf("made as %+v", got)
	}
	if err := js.DeleteStream(t.Context(), bus.StreamCursor); err != nil {
		t.Fatal(err)
	}
	if _, err := c.EnsureStreams(t.Context(), cfg); !errors.Is(err, bus.ErrStreamMissing) {
		t.Errorf("without the cursors: %v", err)
	}
}
