package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// PublishInbound stores one batch of webhook events on the input of partition p
// and returns its sequence. Durable on return; blocks until the stream answers
// or ctx ends; any number of goroutines may publish at once. It never repeats a
// publish, but a sole writer puts what comes in for all partitions while one
// write is under way into one message, and repeats that until its outcome is
// known.
//
// Errors: ErrStreamFull, ErrOutcomeUnknown, ErrUnavailable, ErrTooLarge,
// ErrInvalid.
func (c *Conn) PublishInbound(ctx context.Context, p int, data []byte) (uint64, error) {
	if err := c.check(p); err != nil {
		return 0, err
	}
	if c.sole {
		if err := c.writes(); err != nil {
			return 0, err
		}
		return c.inWriter.write(ctx, p, data, 0, false)
	}
	return publish(ctx, c.work, &nats.Msg{Subject: at(subjectInbound, p), Data: data})
}

// SubmitInbound is PublishInbound for one who does not wait: stored is called
// once, with the error or nil, at the end of the publish or before SubmitInbound
// returns. It must not block. data is free when stored is called. Without an
// answer the outcome is unknown after the Conn's time-out; a sole writer goes on
// until it is known.
func (c *Conn) SubmitInbound(p int, data []byte, stored func(error)) {
	if err := c.check(p); err != nil {
		stored(err)
		return
	}
	if !c.sole {
		go func() {
			_, err := c.PublishInbound(context.Background(), p, data)
			stored(err)
		}()
		return
	}
	if err := c.writes(); err != nil {
		stored(err)
		return
	}
	c.inWriter.submit(p, data, stored)
}

// ReadInbound is ReadLog for the input. Messages that have been trimmed are
// left out.
func (c *Conn) ReadInbound(ctx context.Context, o ReadOptions, fn func(Message) error) error {
	return c.readPartitions(ctx, StreamInbound, subjectInbound, o, fn)
}

// Inbound returns the input message of partition p with sequence seq;
// ErrNoMessage when it does not exist or has been trimmed, ErrDamaged when it
// cannot be read.
func (c *Conn) Inbound(ctx context.Context, p int, seq uint64) (Message, error) {
	if err := c.check(p); err != nil {
		return Message{}, err
	}
	if seq == 0 {
		return Message{}, fmt.Errorf("%w: sequence 0", ErrInvalid)
	}
	return c.messageAt(ctx, StreamInbound, subjectInbound, p, seq)
}

// InboundTime returns when the input message with sequence seq was stored,
// whatever partitions it is of; ErrNoMessage as for Inbound.
func (c *Conn) InboundTime(ctx context.Context, seq uint64) (time.Time, error) {
	if seq == 0 {
		return time.Time{}, fmt.Errorf("%w: sequence 0", ErrInvalid)
	}
	m, err := c.fetch(ctx, StreamInbound, seq)
	return m.At, err
}

// LastInbound returns the last sequence on the input of partition p as the
// stream's leader knows it; 0 when there is none, or none that was not trimmed.
func (c *Conn) LastInbound(ctx context.Context, p int) (uint64, error) {
	if err := c.check(p); err != nil {
		return 0, err
	}
	if c.inWriter != nil {
		return c.inWriter.last(p), nil
	}
	last, err := c.lastOf(ctx, StreamInbound, subjectInbound, p)
	if err != nil || last == 0 {
		return 0, err
	}
	if first, _, _, err := c.InboundRange(ctx); err != nil || last < first {
		return 0, err
	}
	return last, nil
}

// InboundRange returns the first and last sequence of the input and its size in
// bytes. Of an empty stream, first is last + 1.
func (c *Conn) InboundRange(ctx context.Context) (first, last, bytes uint64, err error) {
	use, err := c.streamUse(ctx, StreamInbound)
	return use.First, use.Last, use.Bytes, err
}

// TrimInbound removes the input up to and including sequence upTo. It cannot be
// undone. Trimming what is already gone does nothing.
func (c *Conn) TrimInbound(ctx context.Context, upTo uint64) error {
	request := struct {
		Sequence uint64 `json:"seq"`
	}{upTo + 1}
	var response struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, "STREAM.PURGE."+StreamInbound, request, &response); err != nil {
		return err
	}
	if !response.Success {
		return fmt.Errorf("trim %s up to %d: refused", StreamInbound, upTo)
	}
	c.inWriter.forget(upTo)
	c.bundles.forget(StreamInbound, upTo)
	return nil
}

// direct reads one input message from any replica, without the JSON envelope.
func (c *Conn) direct(ctx context.Context, seq uint64) (Message, error) {
	reply, err := c.work.request(ctx, &nats.Msg{
		Subject: "$JS.API.DIRECT.GET." + StreamInbound,
		Data:    []byte(`{"seq":` + strconv.FormatUint(seq, 10) + `}`),
	})
	if err != nil {
		return Message{}, fmt.Errorf("read %s %d: %w", StreamInbound, seq, callError(err))
	}
	if status := reply.Header.Get("Status"); status != "" {
		return Message{}, fmt.Errorf("read %s %d: %w: %s", StreamInbound, seq, ErrNoMessage, reply.Header.Get("Description"))
	}
	got, err := strconv.ParseUint(reply.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil || got != seq {
		return Message{}, fmt.Errorf("read %s %d: got sequence %q", StreamInbound, seq, reply.Header.Get("Nats-Sequence"))
	}
	stamp, err := time.Parse(time.RFC3339Nano, reply.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return Message{}, fmt.Errorf("read %s %d: %w", StreamInbound, seq, err)
	}
	return Message{
		Sequence: got, Partition: partitionOf(reply.Header.Get("Nats-Subject")), Data: reply.Data, At: stamp,
		subject: reply.Header.Get("Nats-Subject"),
	}, nil
}
