package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
)

// PublishLetters stores a group of dead letters, or of what became of some, and
// returns its sequence. Durable on return. It never repeats a publish. Errors:
// ErrOutcomeUnknown, ErrUnavailable, ErrTooLarge.
func (c *Conn) PublishLetters(ctx context.Context, data []byte) (uint64, error) {
	return publish(ctx, c.work, &nats.Msg{Subject: subjectLetters, Data: data})
}

// errEnd ends a read where the stream ended when it began.
var errEnd = errors.New("bus: end of the stream")

// LettersRange returns the first and last sequence of the groups of dead letters.
// Of an empty stream, first is last + 1.
func (c *Conn) LettersRange(ctx context.Context) (first, last uint64, err error) {
	use, err := c.streamUse(ctx, StreamLetters)
	return use.First, use.Last, err
}

// ReadLetters calls fn with every group of dead letters behind a sequence that is
// stored now, in order and each once. It blocks until fn has seen them all,
// returning nil, or until ctx ends or fn returns an error, returning that.
func (c *Conn) ReadLetters(ctx context.Context, after uint64, fn func(Message) error) error {
	use, err := c.streamUse(ctx, StreamLetters)
	if err != nil || use.Messages == 0 || use.Last <= after {
		return err
	}
	r := reader{conn: c, stream: StreamLetters, subjects: []string{subjectLetters}, next: max(use.First, after+1)}
	err = r.run(ctx, func(m Message) error {
		if m.Sequence > use.Last {
			return errEnd // what was stored meanwhile, and what it was to end at has aged out
		}
		if err := fn(m); err != nil {
			return err
		}
		if m.Sequence == use.Last {
			return errEnd
		}
		return nil
	})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}
