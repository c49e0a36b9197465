package bus

import (
	"context"
	"fmt"
	"strconv"
)

// ReadControl calls fn with every change on the control-change topic that comes
// from now on, of one page or (page 0) of all, in stream order, with its
// subject. It blocks until ctx ends (returning its error) or fn returns an
// error (returning that).
func (c *Conn) ReadControl(ctx context.Context, page uint64, fn func(subject string, m Message) error) error {
	use, err := c.streamUse(ctx, StreamControl)
	if err != nil {
		return fmt.Errorf("read the control topic: %w", err)
	}
	return c.ReadControlAfter(ctx, page, use.Last, fn)
}

// ReadControlAfter is ReadControl from the change on that comes after a stream
// sequence; 0 for the beginning of what the stream still holds.
func (c *Conn) ReadControlAfter(ctx context.Context, page, after uint64, fn func(subject string, m Message) error) error {
	subject := subjectControl + ">"
	if page != 0 {
		subject = subjectControl + "*." + strconv.FormatUint(page, 10) + ".*"
	}
	r := reader{conn: c, stream: StreamControl, subjects: []string{subject}, next: after + 1}
	return r.run(ctx, func(m Message) error { return fn(m.subject, m) })
}
