package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// ErrForeign is returned for letters of another installation's streams, or that
// cannot be read.
var ErrForeign = errors.New("deadletter: the letters are not of these streams")

// Filter selects letters. The zero value of a field selects all, but for
// Partition.
type Filter struct {
	App           control.AppID
	Asset, Person uint64
	// Partition is -1 for all.
	Partition int
	// From and To bound the position, both included.
	From, To control.Position
	// Since and Until bound when the event was decided; Until is not included.
	Since, Until control.Millis
	// Class is an outcome, the last answer, the step that failed, or a status.
	Class string
}

// All selects every letter.
func All() Filter { return Filter{Partition: -1} }

func (f *Filter) fits(l *deliveryv1.DeadLetter) bool {
	p, at := control.Position(l.GetKey().GetPosition()), control.Millis(l.GetDecidedAtMs())
	switch {
	case f.App != 0 && uint64(f.App) != l.GetKey().GetApp(),
		f.Asset != 0 && f.Asset != l.GetAsset(),
		f.Person != 0 && f.Person != l.GetPerson(),
		f.Partition >= 0 && uint32(f.Partition) != l.GetKey().GetPartition(),
		p < f.From, f.To != 0 && p > f.To,
		at < f.Since, f.Until != 0 && at >= f.Until:
		return false
	}
	return f.Class == "" || f.classed(l)
}

func (f *Filter) classed(l *deliveryv1.DeadLetter) bool {
	return f.Class == l.GetOutcome() || f.Class == l.GetAnswer() || f.Class == l.GetFailure() ||
		f.Class == strconv.FormatUint(uint64(l.GetStatus()), 10)
}

// key is a DeliveryKey that can be compared.
type key struct {
	app       uint64
	partition uint32
	position  uint64
}

func keyOf(k *deliveryv1.DeliveryKey) key { return key{k.GetApp(), k.GetPartition(), k.GetPosition()} }

// List returns the first letters that fit, at most limit, in the order in which
// they were buried, each once with its latest story; more says that there are
// others. It reads the whole stream twice, and holds the settlements and what it
// returns in memory. Errors: ErrForeign, that of ctx, or that of the bus.
func (k *Keeper) List(ctx context.Context, f Filter, limit int) (letters []*deliveryv1.DeadLetter, more bool, err error) {
	settled, err := k.settlements(ctx)
	if err != nil {
		return nil, false, err
	}
	listed := map[key]int{}
	err = k.read(ctx, func(sequence uint64, g *deliveryv1.LetterGroup) {
		for _, l := range g.GetBuried() {
			id := keyOf(l.GetKey())
			if settled[id] > sequence || !f.fits(l) {
				continue
			}
			if at, again := listed[id]; again {
				letters[at] = l
				continue
			}
			if len(letters) >= limit {
				more = true
				continue
			}
			listed[id] = len(letters)
			letters = append(letters, l)
		}
	})
	return letters, more, err
}

// settlements are the sequences of the last settlement of each delivery.
func (k *Keeper) settlements(ctx context.Context) (map[key]uint64, error) {
	settled := map[key]uint64{}
	err := k.read(ctx, func(sequence uint64, g *deliveryv1.LetterGroup) {
		for _, s := range g.GetSettled() {
			settled[keyOf(s.GetKey())] = sequence
		}
	})
	return settled, err
}

func (k *Keeper) read(ctx context.Context, fn func(sequence uint64, g *deliveryv1.LetterGroup)) error {
	return k.stream.ReadLetters(ctx, func(m bus.Message) error { //nolint:wrapcheck // the bus names what it read
		g := &deliveryv1.LetterGroup{}
		if err := proto.Unmarshal(m.Data, g); err != nil {
			return fmt.Errorf("%w: sequence %d: %w", ErrForeign, m.Sequence, err)
		}
		if !bytes.Equal(g.GetBatonId(), k.batonID[:]) {
			return fmt.Errorf("%w: sequence %d belongs to installation %x", ErrForeign, m.Sequence, g.GetBatonId())
		}
		fn(m.Sequence, g)
		return nil
	})
}

// cut bounds the text of an error.
func cut(text string) string {
	if len(text) > maxError {
		text = text[:maxError]
	}
	return strings.ToValidUTF8(text, "?")
}
