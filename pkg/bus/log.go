package bus

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"
)

// AppendLog stores one group record on the log of partition p if the last
// sequence there is still the expected one (0 for none), and returns the
// record's sequence. Durable on return; blocks until the stream answers or ctx
// ends. It never repeats a publish: at most one fenced publish per partition
// may be outstanding, and only the holder knows when to repeat it.
//
// Errors: ErrWrongSequence, ErrInFlight, ErrOutcomeUnknown, ErrUnavailable,
// ErrStreamFull, ErrTooLarge, ErrInvalid. After ErrOutcomeUnknown the record
// may still land; repeat it unchanged until it is stored or refused.
func (c *Conn) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if err := c.check(p); err != nil {
		return 0, err
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
	_, err := publish(ctx, c.logs, &nats.Msg{Subject: at(subjectBarrier, p), Header: nats.Header{
		headerExpected:        []string{strconv.FormatUint(expected, 10)},
		headerExpectedSubject: []string{at(subjectLog, p)},
		headerRollup:          []string{"sub"},
	}})
	return err
}

// LastLog returns the newest record of partition p as the stream's leader knows
// it; ErrNoMessage when there is none.
func (c *Conn) LastLog(ctx context.Context, p int) (Message, error) {
	if err := c.check(p); err != nil {
		return Message{}, err
	}
	m, err := c.read(ctx, StreamLog, get{Last: at(subjectLog, p)})
	return m.message(), err
}

// NextLog returns the first record of partition p whose sequence is above
// after, as the stream's leader knows it; ErrNoMessage when there is none.
func (c *Conn) NextLog(ctx context.Context, p int, after uint64) (Message, error) {
	if err := c.check(p); err != nil {
		return Message{}, err
	}
	m, err := c.read(ctx, StreamLog, get{Sequence: after + 1, Next: at(subjectLog, p)})
	return m.message(), err
}

// ReadLog calls fn with every record of the given partitions behind o.After, in
// stream order, each once, old ones first and then new ones as they come. It
// blocks until ctx ends (returning its error) or fn returns an error (returning
// that); losses of the connection or the consumer are repaired without gap or
// repeat. fn is called by one goroutine; while it runs, at most 16 MiB wait.
func (c *Conn) ReadLog(ctx context.Context, o ReadOptions, fn func(Message) error) error {
	subjects, err := c.subjects(subjectLog, o.Partitions)
	if err != nil {
		return err
	}
	r := reader{conn: c, stream: StreamLog, subjects: subjects, next: o.After + 1}
	return r.run(ctx, fn)
}
