package ownership

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

func TestTopicSurvivesUnknownOutcomesAndRestarts(t *testing.T) {
	t.Parallel()
	w := started(t)
	var mu sync.Mutex
	calls := 0
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		mu.Lock()
		calls++
		n := calls
		mu.Unlock()
		switch n % 3 {
		case 0: // lost
			return nil, bus.ErrOutcomeUnknown
		case 1: // landed, and nobody knows
			if _, err := w.conn.PublishControl(t.Context(), messages, moves); err != nil {
				return nil, err
			}
			return nil, bus.ErrOutcomeUnknown
		}
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.busy()
	w.restart()
	w.busy()
	w.control.inject(nil)
	w.check()
}

func TestBatchesAreBounded(t *testing.T) {
	t.Parallel()
	w := started(t)
	var mu sync.Mutex
	sizes := []int{}
	held := make(chan struct{})
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		<-held
		mu.Lock()
		sizes = append(sizes, len(messages)+len(moves))
		mu.Unlock()
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.owning(2500)
	close(held)
	w.check()
	mu.Lock()
	defer mu.Unlock()
	most := 0
	for _, n := range sizes {
		most = max(most, n)
	}
	if most > topicBatch+partitions || most < topicBatch/2 {
		t.Errorf("batches of up to %d messages", most)
	}
}

func TestClaimRewritesTheCursorFirst(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.check()
	var mu sync.Mutex
	first := map[int]topicCursor{}
	empty := map[int]bool{}
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		mu.Lock()
		for _, m := range moves {
			if _, seen := first[m.Partition]; !seen {
				first[m.Partition], _ = decodeCursor(m.Data)
				empty[m.Partition] = len(messages) == 0
			}
		}
		mu.Unlock()
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.restart()
	w.busy()
	w.check()
	mu.Lock()
	defer mu.Unlock()
	for p := range partitions {
		if first[p].Epoch != 2 || first[p].Position == 0 || !empty[p] {
			t.Errorf("partition %d: the first batch of epoch 2 moves the cursor to %+v, alone: %t", p, first[p], empty[p])
		}
	}
}

func TestPredecessorsBatchCannotLandAfterTheClaim(t *testing.T) {
	t.Parallel()
	w := started(t)
	var mu sync.Mutex
	var late []bus.ControlMessage
	var lateMoves []bus.CursorMove
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(messages) > 0 && late == nil {
			late, lateMoves = messages, moves
			return nil, bus.ErrOutcomeUnknown
		}
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.busy()
	w.until("a batch has no outcome", func() bool { mu.Lock(); defer mu.Unlock(); return late != nil })
	w.restart()
	w.control.inject(nil)
	w.check()
	mu.Lock()
	defer mu.Unlock()
	if _, err := w.conn.PublishControl(t.Context(), late, lateMoves); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("the batch of the ended epoch: %v", err)
	}
	w.check()
}

func TestOneUnreadableCursorHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.conn.PublishControl(t.Context(), nil, []bus.CursorMove{{Partition: 0, Data: []byte("junk")}}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.held()
	w.consumed(1, w.arrive(w.message(person(1, 0))))
	w.until("partition 1's change is on the topic", func() bool { return len(w.topic.all()) == 1 })
}

func TestTopicInProtobuf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Encoding = eventlog.EncodingProtobuf
	w.start()
	w.held()
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.check()
	w.topic.mu.Lock()
	defer w.topic.mu.Unlock()
	if raw := w.topic.raw[0]; raw[0] == '{' || w.topic.changes[0].GetKind() != "assigned" || w.topic.changes[0].GetNewOwner() != bot.String() {
		t.Errorf("body %q is %v", raw, w.topic.changes[0])
	}
}

func TestChangeOfAPageThatHasLeftKeepsItsObject(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.check()
	gate := make(chan struct{})
	w.control.inject(func(messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error) {
		<-gate
		return w.conn.PublishControl(t.Context(), messages, moves)
	})
	w.busy()
	w.rosters.set(2, `platform: {graph_url: simulator, app_id: "700000000009999"}`)
	w.until("the roster is in force", func() bool { return len(w.svc.RosterApplied(2)) == 0 })
	close(gate)
	w.check()
	for _, c := range w.topic.all() {
		if c.GetObject() != "page" {
			t.Errorf("object %q", c.GetObject())
		}
	}
}

func TestCursorSurvivesItsEncoding(t *testing.T) {
	t.Parallel()
	for _, c := range []topicCursor{{}, {Position: 7, Epoch: 3}} {
		got, err := decodeCursor(c.encode())
		if diff := cmp.Diff(c, got); diff != "" || err != nil {
			t.Errorf("%s %v", diff, err)
		}
	}
}

// TestATopicThatLosesItsTailIsPublishedAgain: the holder has nothing else to
// publish.
func TestATopicThatLosesItsTailIsPublishedAgain(t *testing.T) {
	t.Parallel()
	w, s := among(t)
	published := func() control.Position {
		data, _, err := w.conn.ControlCursor(t.Context(), 0)
		c, fault := decodeCursor(data)
		if err != nil || fault != nil {
			t.Log(err, fault)
		}
		return c.Position
	}
	w.appended()
	w.until("the first change is on the topic", func() bool { return published() > 0 && w.svc.Lag() == 0 })
	first := published()
	s.Keep(bus.StreamControl)
	w.consumed(0, w.arrive(w.message(person(0, 1))))
	w.until("the second change is on the topic", func() bool { return published() > first && w.svc.Lag() == 0 })
	second := published()
	s.Lose(bus.StreamControl)
	w.until("it is there again", func() bool { return published() == second })
}

// TestACursorThatIsBehindMakesAllBeReadAgain: what a partition in doubt writes is the
// newest cursor then, and says nothing of the others that are lost.
func TestACursorThatIsBehindMakesAllBeReadAgain(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.consumed(1, w.arrive(w.message(person(1, 0))))
	cursor := func(p int) topicPart {
		w.svc.topic.mu.Lock()
		defer w.svc.topic.mu.Unlock()
		return w.svc.topic.mu.parts[p]
	}
	w.until("both are on the topic", func() bool { return cursor(0).cursor.Position > 0 && cursor(1).cursor.Position > 0 })
	before := cursor(0).seq
	w.svc.topic.mu.Lock()
	part := &w.svc.topic.mu.parts[1]
	part.seq += 100 // of a cursor that the topic has lost
	w.svc.topic.doubt(part)
	w.svc.topic.mu.Unlock()
	w.svc.topic.nudge()
	w.until("the other cursor is read, and written again", func() bool { return cursor(0).seq > before })
}
