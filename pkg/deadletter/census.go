package deadletter

import (
	"context"
	"fmt"
	"maps"

	"github.com/baton-router/baton/pkg/control"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// maxCounted bounds the letters that a census counts, and so its memory: some
// 20 MB.
const maxCounted = 200_000

// Census counts the dead letters of each app, reading of the stream only what is
// new. Not safe for concurrent use.
type Census struct {
	keeper *Keeper
	first  uint64 // of the stream, when it was last read
	seen   uint64
	open   map[key]uint64 // the sequences in which they were buried
	counts map[control.AppID]int
}

// NewCensus begins one; Renew fills it.
func (k *Keeper) NewCensus() *Census {
	return &Census{keeper: k, open: map[key]uint64{}, counts: map[control.AppID]int{}}
}

// Renew reads what has come since, and forgets what is too old. It blocks for
// the stream. Errors as of List; what was counted before them stays.
func (c *Census) Renew(ctx context.Context) error {
	first, last, err := c.keeper.stream.LettersRange(ctx)
	if err != nil {
		return fmt.Errorf("deadletter: count: %w", err)
	}
	if first != c.first {
		c.first = first
		maps.DeleteFunc(c.open, func(id key, sequence uint64) bool {
			if sequence >= first {
				return false
			}
			c.counts[control.AppID(id.app)]--
			return true
		})
	}
	if last <= c.seen {
		return nil
	}
	return c.keeper.read(ctx, c.seen, c.add)
}

func (c *Census) add(sequence uint64, g *deliveryv1.LetterGroup) {
	for _, l := range g.GetBuried() {
		id := keyOf(l.GetKey())
		if _, known := c.open[id]; !known {
			if len(c.open) >= maxCounted {
				continue
			}
			c.counts[control.AppID(id.app)]++
		}
		c.open[id] = sequence
	}
	for _, s := range g.GetSettled() {
		id := keyOf(s.GetKey())
		if _, known := c.open[id]; known {
			c.counts[control.AppID(id.app)]--
			delete(c.open, id)
		}
	}
	c.seen = sequence
}

// Counts are the letters of each app that ever had one, at most 200,000
// altogether. The caller owns the map.
func (c *Census) Counts() map[control.AppID]int { return maps.Clone(c.counts) }
