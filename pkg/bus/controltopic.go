package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// ControlMessage is one change of control for the topic.
type ControlMessage struct {
	// Subject as ControlSubject makes it.
	Subject string
	// ID becomes Nats-Msg-Id: <partition>-<position>.
	ID string
	// Header is names and values, sent as they are; names that begin with Nats-
	// are refused.
	Header [][2]string
	// Data is the body; it must not change during the call.
	Data []byte
}

// CursorMove replaces the cursor of one partition: the topic's, or that of its
// deliveries.
type CursorMove struct {
	// Partition of the cursor; at most one move each in a batch.
	Partition int
	// Data is the new cursor.
	Data []byte
	// Expected is the sequence of the cursor that is replaced; 0 for none.
	Expected uint64
}

// PublishControl stores changes of control and the moves of the cursors of all
// partitions concerned, all or nothing, the changes in the order given. It
// returns the new sequence of each cursor, in the order of moves. Durable on
// return. At least one move, at most MaxBatch messages in all.
//
// Errors: ErrWrongSequence when a cursor is not the expected one: another
// publisher has taken over, nothing of this batch was stored. Otherwise as for
// AppendLog; after ErrOutcomeUnknown the same batch may be repeated, and
// ErrWrongSequence then may mean that the first one was stored: the cursor
// tells.
func (c *Conn) PublishControl(ctx context.Context, changes []ControlMessage, moves []CursorMove) ([]uint64, error) {
	if err := c.checkControl(changes, moves); err != nil {
		return nil, err
	}
	last, err := c.sendControl(ctx, changes, moves)
	if err != nil {
		return nil, err
	}
	return endingAt(last, len(moves)), nil // the cursors are the last messages
}

// ControlCursor returns the topic's cursor of partition p and its sequence, as
// the stream's leader knows it; nil and 0 when there is none.
func (c *Conn) ControlCursor(ctx context.Context, p int) (data []byte, seq uint64, err error) {
	if err := c.check(p); err != nil {
		return nil, 0, err
	}
	return c.lastOn(ctx, StreamControl, at(subjectControlCursor, p))
}

// checkControl refuses a batch that must not be sent.
func (c *Conn) checkControl(changes []ControlMessage, moves []CursorMove) error {
	if len(moves) == 0 {
		return fmt.Errorf("%w: control changes without a cursor", ErrInvalid)
	}
	if n := len(changes) + len(moves); n > MaxBatch {
		return fmt.Errorf("%w: batch of %d messages, at most %d", ErrTooLarge, n, MaxBatch)
	}
	for i := range changes {
		if err := checkChange(&changes[i]); err != nil {
			return err
		}
	}
	return c.checkMoves(moves)
}

func checkChange(m *ControlMessage) error {
	if err := checkControlSubject(m.Subject); err != nil {
		return err
	}
	if m.ID == "" {
		return fmt.Errorf("%w: control change without id on %s", ErrInvalid, m.Subject)
	}
	for _, field := range m.Header {
		if name := field[0]; len(name) >= 5 && strings.EqualFold(name[:5], "nats-") {
			return fmt.Errorf("%w: header %s of a control change", ErrInvalid, name)
		}
	}
	return nil
}

// cursorMessage replaces its predecessor and never ages out: without a cursor
// its partition's changes would all be published again.
func cursorMessage(move CursorMove) *nats.Msg {
	m := fenced(at(subjectControlCursor, move.Partition), move.Data, move.Expected)
	m.Header[headerRollup] = []string{"sub"}
	m.Header[headerTTL] = []string{"never"}
	return m
}

// sendControl sends a batch that was checked, the changes and then the cursors,
// as one atomic batch and returns the sequence of the last. A single message
// needs no batch.
func (c *Conn) sendControl(ctx context.Context, changes []ControlMessage, moves []CursorMove) (uint64, error) {
	if len(changes) == 0 && len(moves) == 1 {
		return publish(ctx, c.work, cursorMessage(moves[0]))
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("publish control changes: not sent: %w", err)
	}
	b := batchWriter{id: nuid.Next(), msg: nats.Msg{Header: make(nats.Header, 16)}}
	for i := range changes {
		if err := c.work.PublishMsg(b.change(&changes[i])); err != nil {
			return 0, fmt.Errorf("publish control changes: %w", callError(err))
		}
	}
	return c.sendMoves(ctx, &b, moves, cursorMessage)
}

// batchWriter makes the messages of an atomic batch. A change is written to the
// connection before the next one is made, so all share one message: a map and
// its lists for each would cost more than the rest.
type batchWriter struct {
	id     string
	n      int
	msg    nats.Msg
	values []string // of the message's header, one list of one value each
}

// change returns the message of the next change, good until the next call.
func (b *batchWriter) change(m *ControlMessage) *nats.Msg {
	b.msg.Subject, b.msg.Data = m.Subject, m.Data
	clear(b.msg.Header)
	b.values = b.values[:0]
	for _, field := range m.Header {
		b.set(b.msg.Header, field[0], field[1])
	}
	b.set(b.msg.Header, headerMsgID, m.ID)
	b.number(b.msg.Header)
	return &b.msg
}

// number makes a header that of the batch's next message.
func (b *batchWriter) number(h nats.Header) {
	b.n++
	b.set(h, headerBatchID, b.id)
	b.set(h, headerBatchSequence, strconv.Itoa(b.n))
}

func (b *batchWriter) set(h nats.Header, name, value string) {
	b.values = append(b.values, value)
	end := len(b.values)
	h[name] = b.values[end-1 : end : end]
}
