package bus

import (
	"context"
	"fmt"
)

// Roster returns the newest version of the roster, as the stream's leader knows
// it; nil and version 0 when none was ever saved.
func (c *Conn) Roster(ctx context.Context) (data []byte, version uint64, err error) {
	return c.lastOn(ctx, StreamRoster, subjectRoster)
}

// RosterAt returns one version of the roster; ErrNoMessage when there is none.
func (c *Conn) RosterAt(ctx context.Context, version uint64) ([]byte, error) {
	if version == 0 {
		return nil, fmt.Errorf("%w: version 0 of the roster", ErrNoMessage)
	}
	m, err := c.read(ctx, StreamRoster, get{Sequence: version})
	return m.Data, err
}

// SaveRoster stores a new version of the roster if the newest one is still the
// expected version (0 for none), and returns its version. Durable on return.
// Errors as for AppendLog; at most MaxRoster bytes.
func (c *Conn) SaveRoster(ctx context.Context, data []byte, expected uint64) (uint64, error) {
	if len(data) > MaxRoster {
		return 0, fmt.Errorf("%w: roster of %d bytes, at most %d", ErrTooLarge, len(data), MaxRoster)
	}
	return publish(ctx, c.work, fenced(subjectRoster, data, expected))
}

// WatchRoster calls fn with the newest version of the roster, if there is one,
// and with every later one, in order and each once. It blocks until ctx ends or
// fn returns an error, and returns that. fn owns data.
func (c *Conn) WatchRoster(ctx context.Context, fn func(data []byte, version uint64) error) error {
	r := reader{conn: c, stream: StreamRoster, subjects: []string{subjectRoster}, next: 1, last: true}
	return r.run(ctx, func(m Message) error { return fn(m.Data, m.Sequence) })
}
