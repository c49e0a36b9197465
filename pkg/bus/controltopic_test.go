package bus_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
)

func change(partition, position int) bus.ControlMessage {
	id := fmt.Sprintf("%d-%d", partition, position)
	return bus.ControlMessage{
		Subject: bus.ControlSubject("page", 100200300400500, "taken"),
		ID:      id,
		Header:  [][2]string{{"ce-id", id}, {"ce-type", "baton.control.v1.taken"}},
		Data:    []byte(id),
	}
}

func TestPublishControlMovesEveryCursor(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	moves := []bus.CursorMove{{Partition: 2, Data: []byte("p2")}, {Partition: 0, Data: []byte("p0")}}
	seqs := must[[]uint64](t)(c.PublishControl(ctx, []bus.ControlMessage{change(2, 1), change(0, 1), change(2, 2)}, moves))
	if diff := cmp.Diff([]uint64{4, 5}, seqs); diff != "" {
		t.Fatal(diff)
	}
	for i, move := range moves {
		data, seq, err := c.ControlCursor(ctx, move.Partition)
		if err != nil || string(data) != string(move.Data) || seq != seqs[i] {
			t.Errorf("cursor of partition %d: %q at %d, %v", move.Partition, data, seq, err)
		}
	}
	if data, seq, err := c.ControlCursor(ctx, 1); data != nil || seq != 0 || err != nil {
		t.Errorf("cursor that was never moved: %q at %d, %v", data, seq, err)
	}
	// The smallest batch: one change and its cursor. It replaces the old cursor.
	must[[]uint64](t)(c.PublishControl(ctx, []bus.ControlMessage{change(0, 2)}, []bus.CursorMove{{Partition: 0, Data: []byte("p0b"), Expected: seqs[1]}}))
	if got := messages(t, c, bus.StreamControl); got != 6 {
		t.Errorf("%d messages, wanted four changes and two cursors", got)
	}
}

func TestPublishControlIsAllOrNothing(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	seqs := must[[]uint64](t)(c.PublishControl(ctx, nil, []bus.CursorMove{{Partition: 0, Data: []byte("claim")}, {Partition: 1, Data: []byte("claim")}}))
	before := messages(t, c, bus.StreamControl)
	for name, moves := range map[string][]bus.CursorMove{
		"the only cursor":  {{Partition: 0, Expected: seqs[0] + 1}},
		"the first cursor": {{Partition: 0, Expected: 0}, {Partition: 1, Expected: seqs[1]}},
		"the last cursor":  {{Partition: 0, Expected: seqs[0]}, {Partition: 1, Expected: seqs[1] + 7}},
	} {
		_, err := c.PublishControl(ctx, []bus.ControlMessage{change(0, 1), change(1, 1)}, moves)
		if !errors.Is(err, bus.ErrWrongSequence) {
			t.Errorf("%s was moved by another: %v, wanted ErrWrongSequence", name, err)
		}
		if got := messages(t, c, bus.StreamControl); got != before {
			t.Errorf("%s was moved by another: %d messages, wanted %d", name, got, before)
		}
	}
	// The refused ids may be published by whoever is right.
	must[[]uint64](t)(c.PublishControl(ctx, []bus.ControlMessage{change(0, 1), change(1, 1)},
		[]bus.CursorMove{{Partition: 0, Expected: seqs[0]}, {Partition: 1, Expected: seqs[1]}}))
}

func TestLoneCursorMoveIsFenced(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	first := must[[]uint64](t)(c.PublishControl(ctx, nil, []bus.CursorMove{{Partition: 3, Data: []byte("epoch 1")}}))
	must[[]uint64](t)(c.PublishControl(ctx, nil, []bus.CursorMove{{Partition: 3, Data: []byte("epoch 2"), Expected: first[0]}}))
	if _, err := c.PublishControl(ctx, []bus.ControlMessage{change(3, 1)}, []bus.CursorMove{{Partition: 3, Expected: first[0]}}); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("batch of the holder before: %v, wanted ErrWrongSequence", err)
	}
}

func TestPublishControlTakesAThousandMessages(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	var changes []bus.ControlMessage
	for i := range bus.MaxBatch - 1 {
		changes = append(changes, change(0, i))
	}
	seqs := must[[]uint64](t)(c.PublishControl(ctx, changes, []bus.CursorMove{{Partition: 0}}))
	if seqs[0] != bus.MaxBatch {
		t.Errorf("cursor at %d", seqs[0])
	}
	_, err := c.PublishControl(ctx, append(changes, change(0, 2000)), []bus.CursorMove{{Partition: 0, Expected: seqs[0]}})
	if !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("one message more: %v, wanted ErrTooLarge", err)
	}
}

func TestBadControlChangesAreRefused(t *testing.T) {
	t.Parallel()
	c, ctx := open(t), brief(t)
	move := []bus.CursorMove{{Partition: 0}}
	bad := func(f func(*bus.ControlMessage)) []bus.ControlMessage {
		m := change(0, 1)
		f(&m)
		return []bus.ControlMessage{m}
	}
	cases := map[string]struct {
		changes []bus.ControlMessage
		moves   []bus.CursorMove
	}{
		"no cursor":        {bad(func(*bus.ControlMessage) {}), nil},
		"cursor twice":     {nil, []bus.CursorMove{{Partition: 1}, {Partition: 1}}},
		"no such cursor":   {nil, []bus.CursorMove{{Partition: 9}}},
		"foreign subject":  {bad(func(m *bus.ControlMessage) { m.Subject = "baton.log.0" }), move},
		"cursor's subject": {bad(func(m *bus.ControlMessage) { m.Subject = "baton.control.cursor.0" }), move},
		"wildcard":         {bad(func(m *bus.ControlMessage) { m.Subject = "baton.control.v1.page.*.taken" }), move},
		"missing kind":     {bad(func(m *bus.ControlMessage) { m.Subject = "baton.control.v1.page.1" }), move},
		"empty kind":       {bad(func(m *bus.ControlMessage) { m.Subject = "baton.control.v1.page.1." }), move},
		"blank":            {bad(func(m *bus.ControlMessage) { m.Subject = "baton.control.v1.page.1.a b" }), move},
		"no id":            {bad(func(m *bus.ControlMessage) { m.ID = "" }), move},
		"server's header":  {bad(func(m *bus.ControlMessage) { m.Header = append(m.Header, [2]string{"nats-rollup", "all"}) }), move},
	}
	for name, tc := range cases {
		if _, err := c.PublishControl(ctx, tc.changes, tc.moves); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("%s: %v, wanted ErrInvalid", name, err)
		}
	}
	if got := messages(t, c, bus.StreamControl); got != 0 {
		t.Errorf("%d messages stored", got)
	}
}
