package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// Bounds of what waits on one partition's subscription. What comes beyond them
// is dropped; its caller gets ErrNoAnswer.
const (
	commandMessages = 8192
	commandBytes    = 64 << 20
)

// CommandCall is one command on its way to the holder of a partition.
type CommandCall struct {
	// A command of this process is handed over as it is, one from elsewhere
	// encoded.
	request *commandv1.Request
	answer  answerSlot
	data    []byte
	from    responder
}

// responder takes the encoded answer to a command; *nats.Msg is one.
type responder interface{ Respond(data []byte) error }

// NewCommandCall returns a command that came in another way than from a Conn,
// encoded; its encoded answer goes to from.
func NewCommandCall(data []byte, from interface{ Respond(data []byte) error }) CommandCall {
	return CommandCall{data: data, from: from}
}

// Request is what is asked. It is shared with the caller: nobody may change it.
// The error says why it cannot be read.
func (c CommandCall) Request() (*commandv1.Request, error) {
	if c.request != nil {
		return c.request, nil
	}
	request := new(commandv1.Request)
	if err := proto.Unmarshal(c.data, request); err != nil {
		return nil, fmt.Errorf("read a command: %w", err)
	}
	return request, nil
}

// Reply answers the caller, to whom the answer then belongs. It does not block
// and may be called from any goroutine, also after the subscription has ended;
// at most once. Nothing tells whether the caller still waits.
func (c CommandCall) Reply(answer *commandv1.Response) error {
	if c.answer != nil {
		c.answer.put(answer)
		return nil
	}
	data, err := proto.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer to a command: %w", err)
	}
	if err := c.from.Respond(data); err != nil {
		return fmt.Errorf("answer a command: %w", callError(err))
	}
	return nil
}

// ServeCommands hands every command for partition p to handle, one after the
// other; handle must not block. It returns when the server knows of the
// subscription. stop ends it: when it returns, handle is not running and will
// not be called again. stop must not be called by handle.
func (c *Conn) ServeCommands(p int, handle func(CommandCall)) (stop func(), err error) {
	if err := c.check(p); err != nil {
		return nil, err
	}
	holder := &servant{handle: handle}
	unsubscribe, err := c.subscribe(at(subjectCommand, p), func(m *nats.Msg) {
		holder.take(NewCommandCall(m.Data, m))
	})
	if err != nil {
		return nil, err
	}
	c.served.put(p, holder)
	return func() {
		c.served.remove(p, holder)
		unsubscribe() // what is on its way is still taken
		holder.stop()
	}, nil
}

func askError(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoHolder
	case errors.Is(err, ErrNoAnswer), errors.Is(err, ErrInvalid):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, errLost):
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return fmt.Errorf("%w: %w", ErrNoAnswer, ErrClosed)
	case errors.Is(err, context.Canceled):
		return err
	}
	return callError(err)
}

// subscribe subscribes on the work connection and returns how to end it.
func (c *Conn) subscribe(subject string, handle func(*nats.Msg)) (stop func(), err error) {
	var mu sync.Mutex // held while handle runs
	stopped := false
	sub, err := c.work.Subscribe(subject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !stopped {
			handle(m)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, callError(err))
	}
	stop = func() {
		c.unsubscribe(sub)
		mu.Lock()
		stopped = true
		mu.Unlock()
	}
	if err := sub.SetPendingLimits(commandMessages, commandBytes); err != nil {
		stop()
		return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := c.work.FlushTimeout(c.timeout); err != nil {
		stop()
		return nil, fmt.Errorf("subscribe to %s: %w", subject, callError(err))
	}
	return stop, nil
}

// drainFor bounds the wait for messages that are here and not handled yet.
const drainFor = 100 * time.Millisecond

// unsubscribe tells the server, so that the next caller is told that nobody
// listens. What was on its way is still handled: nobody would tell its sender
// that it was lost.
func (c *Conn) unsubscribe(sub *nats.Subscription) {
	drained := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(drained) })
	err := sub.Drain()
	if err == nil && c.work.IsConnected() {
		err = c.work.FlushTimeout(c.timeout)
	}
	if err == nil {
		patience := time.NewTimer(drainFor)
		defer patience.Stop()
		select {
		case <-drained:
		case <-patience.C:
		}
		return
	}
	_ = sub.Unsubscribe()
	c.logger.Debug("unsubscribed without the server's answer", "subject", sub.Subject, "err", err)
}
