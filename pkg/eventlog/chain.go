package eventlog

import (
	"errors"
	"fmt"
	"maps"

	"github.com/baton-router/baton/pkg/control"
)

// The errors of Head.Next and of what is built on it.
var (
	// ErrStaleEpoch: the record belongs to an epoch that a later claim had
	// ended. It changes nothing: readers skip it, count it and report it,
	// because it means that the fence did not hold.
	ErrStaleEpoch = errors.New("eventlog: record of an ended epoch")
	// ErrBrokenChain: the record does not continue the log of its partition.
	ErrBrokenChain = errors.New("eventlog: chain is broken")
)

// Head is where the log of a partition stands: what the next record must
// continue. The zero Head is the beginning.
type Head struct {
	// Position and Hash are those of the last record.
	Position control.Position
	Hash     [HashSize]byte
	// Epoch is the highest seen.
	Epoch         uint64
	DecidedAt     control.Millis
	RosterVersion uint64
	Input         uint64
	BatonID       [16]byte
}

// Next is the head after r. The error is ErrStaleEpoch or ErrBrokenChain, with
// what is wrong and where; the head is unchanged then. r.Hash must be set, as
// Encode and Decode leave it.
func (h Head) Next(r *Record) (Head, error) {
	if r.Epoch < h.Epoch {
		return h, fmt.Errorf("partition %d, position %d: %w: %d, when %d had been claimed", r.Partition, r.First, ErrStaleEpoch, r.Epoch, h.Epoch)
	}
	if what := h.fault(r); what != "" {
		return h, fmt.Errorf("partition %d, position %d: %w: %s", r.Partition, r.First, ErrBrokenChain, what)
	}
	return after(r), nil
}

// after is the head that r leaves, whatever was before.
func after(r *Record) Head {
	return Head{
		Position: r.Last(), Hash: r.Hash, Epoch: r.Epoch, DecidedAt: r.DecidedAt, RosterVersion: r.RosterVersion,
		Input: r.Input, BatonID: r.BatonID,
	}
}

// fault says in what r does not continue h; empty when it does.
func (h Head) fault(r *Record) string {
	switch {
	case r.First != h.Position+1:
		return fmt.Sprintf("the log ends at position %d", h.Position)
	case r.Prev != h.Hash:
		return fmt.Sprintf("it follows a record with the hash %x, the last one has %x", r.Prev, h.Hash)
	case r.Epoch == 0:
		return "epoch 0"
	case r.Epoch > h.Epoch && !r.Claim:
		return fmt.Sprintf("epoch %d begins without a claim", r.Epoch)
	case r.Epoch == h.Epoch && r.Claim:
		return fmt.Sprintf("epoch %d is claimed twice", r.Epoch)
	case r.Input < h.Input:
		return fmt.Sprintf("input position %d after %d", r.Input, h.Input)
	case r.DecidedAt < h.DecidedAt:
		return fmt.Sprintf("partition time %d after %d", r.DecidedAt, h.DecidedAt)
	case r.BatonID != h.BatonID && h != (Head{}):
		return fmt.Sprintf("it was written to the streams %x, the one before to %x", r.BatonID, h.BatonID)
	default:
		return ""
	}
}

// Skipped is a record of an ended epoch that a reader passed over.
type Skipped struct {
	Partition uint32
	First     control.Position
	Epoch     uint64
}

// Chain verifies the logs of any number of partitions, record by record. The
// zero Chain verifies from the beginning. It is not safe for concurrent use.
type Chain struct {
	// Anywhere takes the first record of each partition as it is: for a log
	// of which the beginning is gone, or a file that holds a part.
	Anywhere bool

	heads   map[uint32]Head
	skipped []Skipped
}

// Check verifies that r continues its partition's log. It returns nil for a
// record of an ended epoch too, and lists it under Skipped; the error is
// ErrBrokenChain, and the chain stays where it was.
func (c *Chain) Check(r *Record) error {
	head, known := c.heads[r.Partition]
	if c.heads == nil {
		c.heads = make(map[uint32]Head)
	}
	if !known && c.Anywhere {
		c.heads[r.Partition] = after(r)
		return nil
	}
	next, err := head.Next(r)
	if errors.Is(err, ErrStaleEpoch) {
		c.skipped = append(c.skipped, Skipped{Partition: r.Partition, First: r.First, Epoch: r.Epoch})
		return nil
	}
	c.heads[r.Partition] = next
	return err
}

// add takes what another Chain checked on other partitions.
func (c *Chain) add(other *Chain) {
	if c.heads == nil {
		c.heads = make(map[uint32]Head)
	}
	maps.Copy(c.heads, other.heads)
	c.skipped = append(c.skipped, other.skipped...)
}

// Head returns where the log of partition p stands, the zero Head when no
// record of it was checked.
func (c *Chain) Head(p uint32) Head { return c.heads[p] }

// Skipped lists the records of ended epochs, in the order in which they came.
func (c *Chain) Skipped() []Skipped { return c.skipped }
