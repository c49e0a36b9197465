package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
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

// SaveCursors stores the delivery cursors of several partitions in one write, all
// or nothing, each if its sequence is still the expected one, and returns their
// new sequences, in the order of moves. Durable on return. At least two moves, at
// most MaxBatch. A server alone takes some seven syncs for it, however many they
// are.
//
// Errors: ErrWrongSequence or ErrInFlight for one of them means that none was
// stored, and which one it was is not told; ErrNoBatches when the stream takes
// none: save each alone. Otherwise as for SaveCursor.
func (c *Conn) SaveCursors(ctx context.Context, moves []CursorMove) ([]uint64, error) {
	switch n := len(moves); {
	case n < 2:
		return nil, fmt.Errorf("%w: batch of %d cursors, at least 2", ErrInvalid, n)
	case n > MaxBatch:
		return nil, fmt.Errorf("%w: batch of %d cursors, at most %d", ErrTooLarge, n, MaxBatch)
	}
	if err := c.checkMoves(moves); err != nil {
		return nil, err
	}
	for _, move := range moves { // a batch that was begun stays on the server for a while
		if int64(len(move.Data)) > c.work.largest-headerRoom {
			return nil, fmt.Errorf("%w: cursor of partition %d", ErrTooLarge, move.Partition)
		}
	}
	if !c.together.Load() {
		return nil, ErrNoBatches
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("save cursors: not sent: %w", err)
	}
	last, err := c.sendMoves(ctx, &batchWriter{id: nuid.Next()}, moves, func(move CursorMove) *nats.Msg {
		return fenced(at(subjectCursor, move.Partition), move.Data, move.Expected)
	})
	if err != nil {
		return nil, err
	}
	return endingAt(last, len(moves)), nil
}

// checkMoves refuses moves of cursors that do not exist or are named twice.
func (c *Conn) checkMoves(moves []CursorMove) error {
	moved := make(map[int]bool, len(moves))
	for _, move := range moves {
		if err := c.check(move.Partition); err != nil {
			return err
		}
		if moved[move.Partition] {
			return fmt.Errorf("%w: two moves of the cursor of partition %d", ErrInvalid, move.Partition)
		}
		moved[move.Partition] = true
	}
	return nil
}

// sendMoves sends cursors as the last messages of an atomic batch, and returns the
// sequence of the last one.
func (c *Conn) sendMoves(ctx context.Context, b *batchWriter, moves []CursorMove, message func(CursorMove) *nats.Msg) (uint64, error) {
	for _, move := range moves[:len(moves)-1] {
		m := message(move)
		b.number(m.Header)
		if err := c.work.PublishMsg(m); err != nil {
			return 0, fmt.Errorf("publish on %s: %w", m.Subject, callError(err))
		}
	}
	last := message(moves[len(moves)-1])
	b.number(last.Header)
	last.Header[headerBatchCommit] = []string{"1"}
	return publish(ctx, c.work, last)
}

// endingAt are the sequences of the last n messages of a batch.
func endingAt(last uint64, n int) []uint64 {
	sequences := make([]uint64, n)
	for i := range sequences {
		sequences[i] = last - uint64(n-1-i)
	}
	return sequences
}

// allowBatches sees to it that cursors can be saved together, which streams made
// earlier do not allow. The only writer changes that; among others, a node of the
// version before would refuse the changed stream at its next start: there they are
// saved one by one.
func (c *Conn) allowBatches(ctx context.Context, stream jetstream.StreamConfig) error {
	if c.sole && !stream.AllowAtomicPublish {
		stream.AllowAtomicPublish = true
		if err := c.update(ctx, stream); err != nil {
			return fmt.Errorf("alter stream %s: %w", stream.Name, adminError(err))
		}
	}
	if c.together.Store(stream.AllowAtomicPublish); !stream.AllowAtomicPublish {
		c.logger.Info("delivery cursors are saved one by one: the stream was made by an earlier version; "+
			"set allow_atomic with an administrator's tool when no node of that version runs any more, then start the nodes anew",
			"stream", stream.Name)
	}
	return nil
}

// lastOn reads the last message of a subject; nil and 0 for none.
func (c *Conn) lastOn(ctx context.Context, stream, subject string) ([]byte, uint64, error) {
	m, err := c.read(ctx, stream, get{Last: subject})
	if errors.Is(err, ErrNoMessage) {
		return nil, 0, nil
	}
	return m.Data, m.Sequence, err
}
