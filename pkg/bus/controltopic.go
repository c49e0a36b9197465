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
	// Header is sent as it is; names that begin with Nats- are refused.
	Header map[string]string
	// Data is the body; it must not change during the call.
	Data []byte
}

// CursorMove replaces the topic's cursor of one partition.
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
	batch, err := c.controlBatch(changes, moves)
	if err != nil {
		return nil, err
	}
	last, err := c.publishBatch(ctx, batch)
	if err != nil {
		return nil, err
	}
	seqs := make([]uint64, len(moves))
	for i := range moves {
		seqs[i] = last - uint64(len(moves)-1-i) // the cursors are the last messages
	}
	return seqs, nil
}

// ControlCursor returns the topic's cursor of partition p and its sequence, as
// the stream's leader knows it; nil and 0 when there is none.
func (c *Conn) ControlCursor(ctx context.Context, p int) (data []byte, seq uint64, err error) {
	if err := c.check(p); err != nil {
		return nil, 0, err
	}
	return c.lastOn(ctx, StreamControl, at(subjectControlCursor, p))
}

// controlBatch returns the messages of a batch: the changes, then the cursors.
func (c *Conn) controlBatch(changes []ControlMessage, moves []CursorMove) ([]*nats.Msg, error) {
	if len(moves) == 0 {
		return nil, fmt.Errorf("%w: control changes without a cursor", ErrInvalid)
	}
	if n := len(changes) + len(moves); n > MaxBatch {
		return nil, fmt.Errorf("%w: batch of %d messages, at most %d", ErrTooLarge, n, MaxBatch)
	}
	batch := make([]*nats.Msg, 0, len(changes)+len(moves))
	for _, m := range changes {
		msg, err := changeMessage(m)
		if err != nil {
			return nil, err
		}
		batch = append(batch, msg)
	}
	moved := make(map[int]bool, len(moves))
	for _, move := range moves {
		if err := c.check(move.Partition); err != nil {
			return nil, err
		}
		if moved[move.Partition] {
			return nil, fmt.Errorf("%w: two moves of the cursor of partition %d", ErrInvalid, move.Partition)
		}
		moved[move.Partition] = true
		batch = append(batch, cursorMessage(move))
	}
	return batch, nil
}

func changeMessage(m ControlMessage) (*nats.Msg, error) {
	if err := checkControlSubject(m.Subject); err != nil {
		return nil, err
	}
	if m.ID == "" {
		return nil, fmt.Errorf("%w: control change without id on %s", ErrInvalid, m.Subject)
	}
	header := make(nats.Header, len(m.Header)+3)
	for name, value := range m.Header {
		if len(name) >= 5 && strings.EqualFold(name[:5], "nats-") {
			return nil, fmt.Errorf("%w: header %s of a control change", ErrInvalid, name)
		}
		header[name] = []string{value}
	}
	header[headerMsgID] = []string{m.ID}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}, nil
}

// cursorMessage replaces its predecessor and never ages out: without a cursor
// its partition's changes would all be published again.
func cursorMessage(move CursorMove) *nats.Msg {
	m := fenced(at(subjectControlCursor, move.Partition), move.Data, move.Expected)
	m.Header[headerRollup] = []string{"sub"}
	m.Header[headerTTL] = []string{"never"}
	return m
}

// publishBatch sends the messages as one atomic batch and returns the sequence
// of the last. A single message needs no batch.
func (c *Conn) publishBatch(ctx context.Context, batch []*nats.Msg) (uint64, error) {
	last := batch[len(batch)-1]
	if len(batch) == 1 {
		return publish(ctx, c.work, last)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("publish control changes: not sent: %w", err)
	}
	id := nuid.Next()
	for i, m := range batch {
		m.Header[headerBatchID] = []string{id}
		m.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
	}
	last.Header[headerBatchCommit] = []string{"1"}
	for _, m := range batch[:len(batch)-1] {
		if err := c.work.PublishMsg(m); err != nil {
			return 0, fmt.Errorf("publish control changes: %w", callError(err))
		}
	}
	return publish(ctx, c.work, last)
}
