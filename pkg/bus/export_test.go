package bus

import (
	"context"

	"github.com/nats-io/nats.go"
)

// Reconnect breaks all connections, for tests; they come back by themselves.
func (c *Conn) Reconnect() error {
	for _, nc := range []*link{c.logs, c.work, c.reads} {
		if err := nc.ForceReconnect(); err != nil {
			return err
		}
	}
	return nil
}

// Gathered is how many parts wait for the log's next bundle, for tests.
func (c *Conn) Gathered() int {
	g := c.logWriter
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mu.queue) == 0 {
		return 0
	}
	return len(g.mu.queue[0].parts)
}

// Reached waits until somebody answers pulls, for tests.
func (c *Conn) Reached(ctx context.Context, pulls string) error { return c.reads.reached(ctx, pulls) }

// Asker is an asker on the connection that writes the log, for tests.
type Asker struct{ *asker }

// NewAsker returns an Asker, which ends with c.
func (c *Conn) NewAsker() (Asker, error) {
	a, err := newAsker(c.logs)
	return Asker{a}, err
}

// ErrNoAnswerInTime is what an asker says when its time-out has passed.
var ErrNoAnswerInTime = errLate

// Ask asks on a subject.
func (a Asker) Ask(ctx context.Context, subject, question string) (answer string, err error) {
	m, err := a.request(ctx, &nats.Msg{Subject: subject, Data: []byte(question)})
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

// Waiting is how many answers wait for an asker that asks nothing.
func (a Asker) Waiting() int { return len(a.answers) }

// Hear hands everything said on a subject to fn, which answers as it likes.
func (c *Conn) Hear(subject string, fn func(question string, answer func(string) error)) error {
	_, err := c.work.Subscribe(subject, func(m *nats.Msg) {
		fn(string(m.Data), func(text string) error { return m.Respond([]byte(text)) })
	})
	if err != nil {
		return err
	}
	return c.work.Flush()
}
