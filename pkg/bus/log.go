package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// AppendLog stores one group record on the log of partition p if the last
// sequence there is still the expected one (0 for none), and returns the
// record's sequence. Durable on return; blocks until the stream answers or ctx
// ends. It never repeats a publish: at most one fenced publish per partition
// may be outstanding, and only the holder knows when to repeat it. data is the
// caller's again on return. A sole writer puts the records of all partitions that
// come in while one write is under way into one message; they share its sequence,
// and an unknown outcome of it is closed before anybody is answered.
//
// Errors: ErrWrongSequence, ErrInFlight, ErrOutcomeUnknown, ErrUnavailable,
// ErrStreamFull, ErrTooLarge, ErrInvalid. After ErrOutcomeUnknown the record
// may still land; repeat it unchanged until it is stored or refused.
func (c *Conn) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if err := c.check(p); err != nil {
		return 0, err
	}
	if c.sole {
		if err := c.writes(); err != nil {
			return 0, err
		}
		return c.logWriter.write(ctx, p, data, expected, true)
	}
	return publish(ctx, c.logs, fenced(at(subjectLog, p), data, expected))
}

// Barrier proves that the last sequence on the log of partition p was the
// expected one at a moment between call and return, by a fenced message beside
// the log that replaces its predecessor. Errors as for AppendLog; a barrier of
// unknown outcome has no effect on anything.
func (c *Conn) Barrier(ctx context.Context, p int, expected uint64) error {
	if err := c.check(p); err != nil {
		return err
	}
	if c.sole {
		return c.soleBarrier(p, expected)
	}
	_, err := publish(ctx, c.logs, &nats.Msg{Subject: at(subjectBarrier, p), Header: nats.Header{
		headerExpected:        []string{strconv.FormatUint(expected, 10)},
		headerExpectedSubject: []string{at(subjectLog, p)},
		headerRollup:          []string{"sub"},
	}})
	return err
}

// Reconnects counts how often the connection that writes the log was lost and made
// anew: the servers may be others since, or have started again. For the only writer
// it is 0: its server is in its process. It does not block.
func (c *Conn) Reconnects() uint64 {
	if c.sole {
		return 0
	}
	return c.logs.Stats().Reconnects
}

// soleBarrier is the barrier of the only writer: it knows the last sequence.
func (c *Conn) soleBarrier(p int, expected uint64) error {
	if err := c.writes(); err != nil {
		return err
	}
	if last := c.logWriter.last(p); last != expected {
		return fmt.Errorf("barrier of partition %d: %w: it is at %d, not at %d", p, ErrWrongSequence, last, expected)
	}
	return nil
}

// writes refuses what a sole writer cannot do before EnsureStreams.
func (c *Conn) writes() error {
	if c.logWriter == nil || c.inWriter == nil {
		return fmt.Errorf("%w: the streams are not open", ErrInvalid)
	}
	return nil
}

// LastLog returns the newest record of partition p as the stream's leader knows
// it; ErrNoMessage when there is none, ErrDamaged when it cannot be read.
func (c *Conn) LastLog(ctx context.Context, p int) (Message, error) {
	if err := c.check(p); err != nil {
		return Message{}, err
	}
	if c.plain.Load() {
		return c.plainRecord(ctx, p, get{Last: at(subjectLog, p)})
	}
	last, err := c.lastLog(ctx, p)
	if err == nil && last == 0 {
		err = ErrNoMessage
	}
	if err != nil {
		return Message{}, fmt.Errorf("last record of partition %d: %w", p, err)
	}
	m, err := c.messageAt(ctx, StreamLog, subjectLog, p, last)
	return m, c.must(err, p, last)
}

// must is for the record of a partition that its only writer knows to be there: a
// server that gives none passes over bytes that are damaged.
func (c *Conn) must(err error, p int, last uint64) error {
	if c.logWriter != nil && errors.Is(err, ErrNoMessage) {
		return fmt.Errorf("%w: the log of partition %d goes to sequence %d, and the server does not give it", ErrDamaged, p, last)
	}
	return err
}

func (c *Conn) lastLog(ctx context.Context, p int) (uint64, error) {
	if c.logWriter != nil {
		return c.logWriter.last(p), nil
	}
	return c.lastOf(ctx, StreamLog, subjectLog, p)
}

// NextLog returns the first record of partition p whose sequence is above
// after, as the stream's leader knows it; ErrNoMessage when there is none,
// ErrDamaged when what must be read to find it cannot be.
func (c *Conn) NextLog(ctx context.Context, p int, after uint64) (Message, error) {
	if err := c.check(p); err != nil {
		return Message{}, err
	}
	if c.plain.Load() {
		return c.plainRecord(ctx, p, get{Sequence: after + 1, Next: at(subjectLog, p)})
	}
	last := uint64(0)
	if c.logWriter != nil {
		if last = c.logWriter.last(p); last <= after {
			return Message{}, fmt.Errorf("partition %d behind %d: %w", p, after, ErrNoMessage)
		}
	}
	next, err := c.nextOf(ctx, StreamLog, subjectLog, p, after)
	if err != nil {
		return Message{}, fmt.Errorf("partition %d behind %d: %w", p, after, c.must(err, p, last))
	}
	m, err := c.messageAt(ctx, StreamLog, subjectLog, p, next)
	return m, c.must(err, p, last)
}

// plainRecord reads a record of a log without bundles with one question.
func (c *Conn) plainRecord(ctx context.Context, p int, g get) (Message, error) {
	m, err := c.read(ctx, StreamLog, g)
	if err != nil {
		return Message{}, fmt.Errorf("record of partition %d: %w", p, err)
	}
	return m.message(), nil
}

// ReadLog calls fn with every record of the given partitions behind o.After, in
// stream order, each once, old ones first and then new ones as they come. It
// blocks until ctx ends (returning its error) or fn returns an error (returning
// that); losses of the connection or the consumer are repaired without gap or
// repeat. A message that is not as it was written ends it with ErrDamaged. fn is
// called by one goroutine; while it runs, at most 16 MiB wait.
func (c *Conn) ReadLog(ctx context.Context, o ReadOptions, fn func(Message) error) error {
	return c.readPartitions(ctx, StreamLog, subjectLog, o, fn)
}
