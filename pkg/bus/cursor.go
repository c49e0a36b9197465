package bus

import (
	"context"
	"errors"
)

// LoadCursor returns the delivery cursor of partition p and its sequence, as
// the stream's leader knows it; nil and 0 when there is none.
func (c *Conn) LoadCursor(ctx context.Context, p int) (data []byte, seq uint64, err error) {
	if err := c.check(p); err != nil {
		return nil, 0, err
	}
	return c.lastOn(ctx, StreamCursor, at(subjectCursor, p))
}

// SaveCursor stores the delivery cursor of partition p if its sequence is still
// the expected one (0 for none), and returns its new sequence. Durable on
// return. Errors as for AppendLog.
func (c *Conn) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if err := c.check(p); err != nil {
		return 0, err
	}
	return publish(ctx, c.work, fenced(at(subjectCursor, p), data, expected))
}

// lastOn reads the last message of a subject; nil and 0 for none.
func (c *Conn) lastOn(ctx context.Context, stream, subject string) ([]byte, uint64, error) {
	m, err := c.read(ctx, stream, get{Last: subject})
	if errors.Is(err, ErrNoMessage) {
		return nil, 0, nil
	}
	return m.Data, m.Sequence, err
}
