package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// SteerCall is one request on its way to the holder of a delivery cursor.
type SteerCall struct {
	// Data is the request; it belongs to the receiver.
	Data []byte
	from responder
}

// Reply answers the caller, like CommandCall's.
func (c SteerCall) Reply(data []byte) error {
	if err := c.from.Respond(data); err != nil {
		return fmt.Errorf("answer a request to steer: %w", callError(err))
	}
	return nil
}

// ServeSteering hands every request to the holder of partition p's delivery
// cursor to handle, one after the other; handle must not block. It returns when
// the server knows of the subscription. stop ends it: when it returns, handle is
// not running and will not be called again. stop must not be called by handle.
func (c *Conn) ServeSteering(p int, handle func(SteerCall)) (stop func(), err error) {
	if err := c.check(p); err != nil {
		return nil, err
	}
	return c.subscribe(at(subjectSteering, p), func(m *nats.Msg) {
		handle(SteerCall{Data: m.Data, from: m})
	})
}

// AskSteering sends a request to the holder of partition p's delivery cursor and
// returns its answer. It blocks until the answer, or until ctx ends. Errors as
// for Ask.
func (c *Conn) AskSteering(ctx context.Context, p int, data []byte) ([]byte, error) {
	if err := c.check(p); err != nil {
		return nil, err
	}
	reply, err := c.work.request(ctx, &nats.Msg{Subject: at(subjectSteering, p), Data: data})
	if err != nil {
		return nil, fmt.Errorf("ask for the deliveries of partition %d: %w", p, askError(err))
	}
	return reply.Data, nil
}
