package bus_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
)

func savesOf(expected ...uint64) []bus.CursorMove {
	moves := make([]bus.CursorMove, len(expected))
	for p, seq := range expected {
		moves[p] = bus.CursorMove{Partition: p, Data: fmt.Appendf(nil, "cursor %d behind %d", p, seq), Expected: seq}
	}
	return moves
}

// cursors are all four as they are stored.
func cursors(t *testing.T, c *bus.Conn) (sequences []uint64, all []string) {
	t.Helper()
	for p := range 4 {
		data, seq, err := c.LoadCursor(brief(t), p)
		if err != nil {
			t.Fatal(err)
		}
		sequences, all = append(sequences, seq), append(all, string(data))
	}
	return sequences, all
}

func TestCursorsAreSavedTogether(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		seqs := []uint64{0, 0, 0, 0}
		for range 3 {
			moves := savesOf(seqs...)
			seqs = must[[]uint64](t)(c.SaveCursors(ctx, moves))
			stored, data := cursors(t, c)
			for p := range moves {
				if data[p] != string(moves[p].Data) || stored[p] != seqs[p] {
					t.Errorf("cursor %d is %q at %d, wanted %q at %d", p, data[p], stored[p], moves[p].Data, seqs[p])
				}
			}
		}
		if got := messages(t, c, bus.StreamCursor); got != 4 {
			t.Errorf("%d cursors kept, wanted one per partition", got)
		}
		// One that was saved together is saved alone, and the other way about.
		seqs[2] = must[uint64](t)(c.SaveCursor(ctx, 2, []byte("alone"), seqs[2]))
		must[[]uint64](t)(c.SaveCursors(ctx, []bus.CursorMove{{Partition: 3, Expected: seqs[3]}, {Partition: 2, Expected: seqs[2]}}))
	})
}

// TestARefusedCursorRefusesTheBatch: whichever it is, nothing is stored.
func TestARefusedCursorRefusesTheBatch(t *testing.T) {
	t.Parallel()
	inBothShapes(t, func(t *testing.T, c *bus.Conn) {
		t.Helper()
		ctx := brief(t)
		seqs := must[[]uint64](t)(c.SaveCursors(ctx, savesOf(0, 0, 0, 0)))
		_, before := cursors(t, c)
		for deposed := range 4 {
			for _, expected := range []uint64{0, seqs[deposed] + 7} {
				wrong := slices.Clone(seqs)
				wrong[deposed] = expected
				if _, err := c.SaveCursors(ctx, savesOf(wrong...)); !errors.Is(err, bus.ErrWrongSequence) {
					t.Errorf("cursor %d was expected at %d: %v, wanted ErrWrongSequence", deposed, expected, err)
				}
			}
		}
		if _, after := cursors(t, c); !slices.Equal(before, after) {
			t.Errorf("refused, and yet stored: %q, before %q", after, before)
		}
		must[[]uint64](t)(c.SaveCursors(ctx, savesOf(seqs...)))
	})
}

func TestBadBatchesOfCursorsAreRefused(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	for name, tc := range map[string]struct {
		moves []bus.CursorMove
		class error
	}{
		"none":           {nil, bus.ErrInvalid},
		"one":            {savesOf(0), bus.ErrInvalid},
		"too many":       {make([]bus.CursorMove, bus.MaxBatch+1), bus.ErrTooLarge},
		"twice":          {[]bus.CursorMove{{Partition: 1}, {Partition: 1}}, bus.ErrInvalid},
		"no such cursor": {[]bus.CursorMove{{Partition: 1}, {Partition: 4}}, bus.ErrInvalid},
		"too large":      {[]bus.CursorMove{{Partition: 1}, {Partition: 2, Data: make([]byte, 9<<20)}}, bus.ErrTooLarge},
	} {
		if _, err := c.SaveCursors(ctx, tc.moves); !errors.Is(err, tc.class) {
			t.Errorf("%s: %v, wanted %v", name, err, tc.class)
		}
	}
	if got := messages(t, c, bus.StreamCursor); got != 0 {
		t.Errorf("%d cursors stored", got)
	}
}

// setBatches makes BATON_CURSOR take batches or not, and returns whether it did.
func setBatches(t *testing.T, js jetstream.JetStream, allowed bool) (before bool) {
	t.Helper()
	cfg := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamCursor)).CachedInfo().Config
	before, cfg.AllowAtomicPublish = cfg.AllowAtomicPublish, allowed
	must[jetstream.Stream](t)(js.UpdateStream(t.Context(), cfg))
	return before
}

// TestStreamsOfTheVersionBeforeTakeCursorsOneByOne: a node among others starts with
// them as they are, since one of the version before may start again beside it; the
// only writer has them take batches, and what they hold stays.
func TestStreamsOfTheVersionBeforeTakeCursorsOneByOne(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c, ctx := dial(t, s), brief(t)
	ensure(t, c, config())
	js := administrator(t, s)
	setBatches(t, js, false)
	seqs := []uint64{must[uint64](t)(c.SaveCursor(ctx, 0, nil, 0)), must[uint64](t)(c.SaveCursor(ctx, 1, nil, 0))}
	for range 2 { // it hears so from the server, then from the stream's settings
		if _, err := c.SaveCursors(ctx, savesOf(seqs...)); !errors.Is(err, bus.ErrNoBatches) {
			t.Errorf("a batch: %v, wanted ErrNoBatches", err)
		}
		ensure(t, c, config())
		if err := c.CheckStreams(ctx, config()); err != nil {
			t.Error(err)
		}
	}
	if setBatches(t, js, false) {
		t.Fatal("a node among others has altered the stream")
	}
	only := dialSole(t, s)
	ensure(t, only, config())
	seqs = must[[]uint64](t)(only.SaveCursors(ctx, savesOf(seqs...)))
	ensure(t, c, config())
	must[[]uint64](t)(c.SaveCursors(ctx, savesOf(seqs...)))
}
