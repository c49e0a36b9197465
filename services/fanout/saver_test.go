package fanout

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
)

// drawer keeps cursors in memory, so that time can be a bubble's; writes are the
// partitions of each write that it took, and when.
type drawer struct {
	mu      sync.Mutex
	last    uint64
	stored  map[int]bus.CursorMove // with its own sequence
	writes  [][]int
	began   []time.Time
	refused int
	takes   time.Duration
	answer  error // instead of the truth, which is stored
}

func (s *drawer) LoadCursor(_ context.Context, p int) (data []byte, seq uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[p].Data, s.stored[p].Expected, nil
}

func (s *drawer) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	sequences, err := s.SaveCursors(ctx, []bus.CursorMove{{Partition: p, Data: data, Expected: expected}})
	if err != nil {
		return 0, err
	}
	return sequences[0], nil
}

func (s *drawer) SaveCursors(ctx context.Context, moves []bus.CursorMove) (sequences []uint64, err error) {
	began := time.Now()
	sleep(ctx, s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range moves {
		if s.stored[m.Partition].Expected != m.Expected {
			s.refused++
			return nil, bus.ErrWrongSequence
		}
	}
	var written []int
	for _, m := range moves {
		s.last++
		s.stored[m.Partition] = bus.CursorMove{Data: m.Data, Expected: s.last}
		sequences, written = append(sequences, s.last), append(written, m.Partition)
	}
	s.writes, s.began = append(s.writes, written), append(s.began, began)
	if s.answer != nil {
		return nil, s.answer
	}
	return sequences, nil
}

// taken are the writes since the last call.
func (s *drawer) taken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.SortFunc(s.writes, slices.Compare)
	text := fmt.Sprint(s.writes)
	s.writes, s.began = nil, nil
	return text
}

// saver is a service that only saves the cursors that it holds, in a bubble.
func saver(t *testing.T, partitions int, change func(*Config)) (*Service, *drawer) {
	t.Helper()
	c := Default(partitions)
	c.SaveTogether = 3
	change(&c)
	kept := &drawer{stored: map[int]bus.CursorMove{}}
	none := (*bus.Conn)(nil)
	s, err := New(c, Deps{
		Log: none, Inbound: none, Steering: none, Cursors: kept, Rosters: newVersions(t), Logger: quiet(),
		Transport: func(App, int) Transport { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := range partitions {
		h := newHolder(s, p)
		h.opens = time.Now()
		h.mu.epoch = 1
		s.mu.holders[p] = h
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.saveLoop(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	return s, kept
}

func (s *Service) touch(partitions ...int) {
	for _, p := range partitions {
		h := s.holder(p)
		h.mu.Lock()
		h.touch()
		h.mu.Unlock()
	}
}

func alone(c *Config) { c.Sole = true }

func amongOthers(*Config) {}

func TestWhatChangesIsSavedTogetherOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, kept := saver(t, 5, alone)
		pass(500 * time.Millisecond)
		for turn, want := range []string{"[[0 1 2 3 4]]", "[[1 3 4]]", "[[0] [2]]", "[]", "[[4]]", "[[0 1 2 3 4]]"} {
			touched := [][]int{{0, 1, 2, 3, 4}, {4, 3, 1}, {2, 0}, {}, {4, 4}, {4, 3, 2, 1, 0}}[turn]
			s.touch(touched...)
			pass(300 * time.Millisecond)
			s.touch(touched...)
			if got := kept.taken(); got != "[]" {
				t.Errorf("turn %d: %s was saved before it was time", turn, got)
			}
			pass(700 * time.Millisecond)
			if got := kept.taken(); got != want {
				t.Errorf("turn %d: saved %s, wanted %s", turn, got, want)
			}
		}
	})
}

// TestADeposedPartitionKeepsNoOtherFromBeingSaved: the batch is refused for it; the
// others are saved at the same turn, and the next is a batch again.
func TestADeposedPartitionKeepsNoOtherFromBeingSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, kept := saver(t, 5, amongOthers)
		lost := s.holder(2)
		s.touch(0, 1, 2, 3, 4)
		pass(time.Second + time.Millisecond)
		kept.taken()
		theirs := encodeCursor(&cursorv1.Cursor{Epoch: 2, Holder: make([]byte, 16), BatonId: make([]byte, 16)}, nil)
		if _, err := kept.SaveCursor(t.Context(), 2, theirs, kept.stored[2].Expected); err != nil {
			t.Fatal(err)
		}
		kept.taken()
		s.touch(0, 1, 2, 3, 4)
		pass(time.Second)
		if got := kept.taken(); got != "[[0] [1] [3] [4]]" || kept.refused != 2 {
			t.Errorf("saved %s, refused %d times, wanted all others, and the batch and one refused", got, kept.refused)
		}
		for p := range 5 {
			h := s.holder(p)
			if held := h != nil; held != (p != 2) || held && !h.mayStart() {
				t.Errorf("partition %d is held: %t", p, held)
			}
		}
		select {
		case <-lost.lost:
		default:
			t.Error("the deposed one does not know")
		}
		if lost.mayStart() {
			t.Error("the deposed one may start POSTs")
		}
		s.touch(0, 1, 3, 4)
		pass(time.Second)
		if got := kept.taken(); got != "[[0 1 3 4]]" {
			t.Errorf("afterwards %s was saved", got)
		}
	})
}

// TestTheLeaseCountsFromBeforeTheBatch, and a batch of unknown outcome gives none:
// what had landed is found by the next, and saved again.
func TestTheLeaseCountsFromBeforeTheBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, kept := saver(t, 3, amongOthers)
		kept.takes = 1500 * time.Millisecond
		s.touch(0, 1, 2)
		pass(time.Second + 1400*time.Millisecond)
		if s.holder(0).mayStart() {
			t.Error("a lease before the answer")
		}
		pass(1500 * time.Millisecond) // 2.9 s behind the beginning of the batch
		if !s.holder(0).mayStart() || !s.holder(2).mayStart() {
			t.Error("no lease, though the batch was stored")
		}
		pass(200 * time.Millisecond)
		if s.holder(0).mayStart() || s.holder(2).mayStart() {
			t.Error("the lease counts from the answer, not from before the batch")
		}
		kept.takes, kept.answer = 0, bus.ErrOutcomeUnknown
		kept.taken()
		s.touch(0, 1, 2)
		pass(time.Second)
		if got := kept.taken(); got != "[[0 1 2]]" || s.holder(1).mayStart() {
			t.Errorf("stored %s, the outcome unknown: a lease is %t", got, s.holder(1).mayStart())
		}
		kept.answer = nil
		pass(time.Second)
		if got := kept.taken(); got != "[]" || kept.refused != 4 {
			t.Errorf("stored %s, refused %d times, wanted the batch and each", got, kept.refused)
		}
		pass(time.Second)
		if got := kept.taken(); got != "[[0 1 2]]" || !s.holder(1).mayStart() || s.holder(1).stopped.Load() {
			t.Errorf("then %s is saved; deposed by itself: %t", got, s.holder(1).stopped.Load())
		}
	})
}

// TestLeasesThatDeliveriesWaitForAreRenewedAtOnce, together, and those of busy
// partitions before they end.
func TestLeasesThatDeliveriesWaitForAreRenewedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, kept := saver(t, 4, amongOthers)
		pass(10*time.Second + 200*time.Millisecond)
		if got := kept.taken(); got != "[]" {
			t.Errorf("%s saved, though nothing waits", got)
		}
		for _, p := range []int{0, 2, 3} {
			s.holder(p).wantRenewal()
		}
		synctest.Wait()
		if got := kept.taken(); got != "[[0 2 3]]" || !s.holder(3).mayStart() {
			t.Errorf("saved %s, wanted those that were asked for, at once", got)
		}
		h := s.holder(2)
		h.mu.Lock()
		h.mu.active = time.Now()
		h.mu.Unlock()
		for range 12 {
			pass(time.Second)
			if time.Since(h.mu.active) < renewWithin && !h.mayStart() {
				t.Error("the lease of a busy partition ran out")
			}
		}
		pass(5 * time.Second)
		if h.mayStart() {
			t.Error("the lease of an idle partition is renewed")
		}
	})
}

// TestNothingIsSavedBeforeThePredecessorsRightHasRunOut, and what waited for that is
// then saved at once.
func TestNothingIsSavedBeforeThePredecessorsRightHasRunOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, kept := saver(t, 1, amongOthers)
		theirs := encodeCursor(&cursorv1.Cursor{Epoch: 2, Holder: make([]byte, 16), BatonId: make([]byte, 16)}, nil)
		kept.stored[0] = bus.CursorMove{Data: theirs}
		pass(500 * time.Millisecond)
		h := newHolder(s, 0)
		if err := h.claimOnce(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.mu.holders[0] = h
		s.mu.Unlock()
		kept.taken()
		h.wantRenewal()
		s.touch(0)
		pass(2900 * time.Millisecond)
		if got := kept.taken(); got != "[]" || h.mayStart() {
			t.Errorf("%s saved; POSTs may start: %t", got, h.mayStart())
		}
		pass(101 * time.Millisecond)
		if got := kept.taken(); got != "[[0]]" || !h.mayStart() {
			t.Errorf("%s saved when it was over; POSTs may start: %t", got, h.mayStart())
		}
	})
}

func TestDraftsAreCutIntoBatches(t *testing.T) {
	t.Parallel()
	sized := func(sizes ...int) (drafts []draft) {
		for p, size := range sizes {
			drafts = append(drafts, draft{nil, bus.CursorMove{Partition: p, Data: make([]byte, size)}})
		}
		return drafts
	}
	for name, tc := range map[string]struct {
		drafts []draft
		want   []int
	}{
		"none":      {nil, nil},
		"one":       {sized(5), []int{1}},
		"small":     {sized(5, 5, 5), []int{3}},
		"just full": {sized(batchBytes-5, 5, 5), []int{2, 1}},
		"too large": {sized(5, 2*batchBytes, 5, 5), []int{1, 1, 2}},
		"many":      {sized(make([]int, 2*bus.MaxBatch+1)...), []int{bus.MaxBatch, bus.MaxBatch, 1}},
	} {
		var got []int
		next := 0
		for _, batch := range inBatches(tc.drafts) {
			got = append(got, len(batch))
			for _, d := range batch {
				if d.move.Partition != next {
					t.Errorf("%s: draft %d is missing or out of order", name, next)
				}
				next++
			}
		}
		if !slices.Equal(got, tc.want) || next != len(tc.drafts) {
			t.Errorf("%s: batches of %v, wanted %v", name, got, tc.want)
		}
	}
}

// TestACrashBehindABatchRepeatsNothing: it was stored, and its node died before it
// heard so.
func TestACrashBehindABatchRepeatsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	lossy := &lossyCursors{faultyCursors: faultyCursors{Conn: w.conn}}
	n := w.start(func(_ *Config, d *Deps) { d.Cursors = lossy })
	var ids []string
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "a")...)
	}
	w.until("delivered", func() bool { return len(bot.ids()) >= len(ids) })
	lossy.lose.Store(true)
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "b")...)
	}
	w.until("saved, unknown to the node", func() bool {
		for p := range testPartitions {
			if w.watermark(p) != 3 {
				return false
			}
		}
		return true
	})
	crash(&lossy.faultyCursors)
	n.stop(t)
	w.start()
	for p := range testPartitions {
		ids = append(ids, w.say(personIn(p, 0), "c")...)
	}
	w.until("delivered", func() bool { return len(bot.ids()) >= len(ids) })
	got := bot.ids()
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("got %v, want each once: %v", got, ids)
	}
}

// TestAPartitionTakenOverAmongOthers: of four on a node one is taken over by another
// node; the others stay, on the real stream.
func TestAPartitionTakenOverAmongOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bot := w.hook("s1")
	w.adopt(document(appEntry(faq, bot)))
	a := w.start(twoNodes)
	say := func(text string) (ids []string) {
		for p := range testPartitions {
			ids = append(ids, w.say(personIn(p, 0), text)...)
		}
		return ids
	}
	want := say("a")
	w.until("delivered by the first", func() bool { return len(bot.ids()) >= len(want) })
	b := w.start(twoNodes, none)
	b.Hold(2)
	w.until("deposed", func() bool { return w.count(&w.deposed) == 1 })
	want = append(want, say("b")...)
	w.until("delivered by both", func() bool { return w.outcomes(OutcomeDelivered) >= len(want) })
	w.until("saved", func() bool {
		for p := range testPartitions {
			if w.watermark(p) != control.Position(3) {
				return false
			}
		}
		return true
	})
	for p := range testPartitions {
		if holder := w.stored(p).GetHolder(); slices.Equal(holder, a.id[:]) != (p != 2) {
			t.Errorf("partition %d is held by the first node: %t", p, p == 2)
		}
	}
	if w.count(&w.deposed) != 1 {
		t.Errorf("%d partitions were lost, wanted one", w.deposed)
	}
}
