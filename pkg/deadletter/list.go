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

// defaultSpare is how many letters beyond the limit a list keeps for those that
// turn out to be settled.
const defaultSpare = 10_000

// List returns the first letters that fit, at most limit, in the order in which
// they were buried, each once with its latest story; more says that there are
// others. It reads the stream once, and again when so many of the first letters
// were settled later that others must take their places; it holds the settlements
// and what it returns in memory. Errors: ErrForeign, that of ctx, or that of the
// bus.
func (k *Keeper) List(ctx context.Context, f Filter, limit int) (letters []*deliveryv1.DeadLetter, more bool, err error) {
	l := list{filter: f, most: limit + k.spare, settled: map[key]uint64{}}
	if err := k.read(ctx, 0, l.add); err != nil {
		return nil, false, err
	}
	open := l.open()
	if l.dropped && len(open) <= limit {
		l = list{filter: f, most: limit, settled: l.settled}
		if err := k.read(ctx, 0, l.add); err != nil {
			return nil, false, err
		}
		open = l.open()
	}
	return open[:min(len(open), limit)], l.dropped || len(open) > limit, nil
}

// list is a list in the making.
type list struct {
	filter  Filter
	most    int            // letters
	settled map[key]uint64 // sequences of the last settlements
	dropped bool           // there were more letters

	letters   []*deliveryv1.DeadLetter
	sequences []uint64
	at        map[key]int // in letters
}

// add takes a group in.
func (l *list) add(sequence uint64, g *deliveryv1.LetterGroup) {
	for _, s := range g.GetSettled() {
		l.settled[keyOf(s.GetKey())] = max(l.settled[keyOf(s.GetKey())], sequence)
	}
	for _, letter := range g.GetBuried() {
		id := keyOf(letter.GetKey())
		if l.settled[id] > sequence || !l.filter.fits(letter) {
			continue
		}
		at, again := l.at[id]
		switch {
		case again && l.settled[id] <= l.sequences[at]:
			l.letters[at], l.sequences[at] = letter, sequence
		case len(l.letters) >= l.most:
			l.dropped = true
		default:
			if l.at == nil {
				l.at = map[key]int{}
			}
			l.at[id] = len(l.letters)
			l.letters, l.sequences = append(l.letters, letter), append(l.sequences, sequence)
		}
	}
}

// open are the letters that were not settled after they were buried.
func (l *list) open() (open []*deliveryv1.DeadLetter) {
	for i, letter := range l.letters {
		if l.settled[keyOf(letter.GetKey())] <= l.sequences[i] {
			open = append(open, letter)
		}
	}
	return open
}

func (k *Keeper) read(ctx context.Context, after uint64, fn func(sequence uint64, g *deliveryv1.LetterGroup)) error {
	return k.stream.ReadLetters(ctx, after, func(m bus.Message) error { //nolint:wrapcheck // the bus names what it read
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
