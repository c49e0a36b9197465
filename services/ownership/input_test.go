package ownership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/inbound"
	"github.com/baton-router/baton/pkg/repair"
)

// routed lists the input of the Routed events of a partition's log.
func (w *world) routed(p int) (refs []control.Ref) {
	for _, e := range w.events(p) {
		if r, ok := e.(control.Routed); ok {
			refs = append(refs, r.Input)
		}
	}
	return refs
}

func TestInputIsDecidedInOrder(t *testing.T) {
	t.Parallel()
	w := started(t)
	var want []control.Ref
	for n := range 20 {
		seq := w.arrive(w.message(person(0, n%3)), w.message(person(0, n%5)))
		want = append(want, control.Ref{Sequence: seq}, control.Ref{Sequence: seq, Index: 1})
	}
	w.consumed(0, want[len(want)-1].Sequence)
	got := w.routed(0)
	if len(got) != len(want) {
		t.Fatalf("%d events decided, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func TestDuplicatesAreAbsorbed(t *testing.T) {
	t.Parallel()
	w := started(t)
	e, f := w.message(person(0, 0)), w.message(person(0, 0))
	w.arrive(e, e)
	w.consumed(0, w.arrive(f, e))
	w.restart()
	w.consumed(0, w.arrive(e))
	if n := count[control.Routed](w, 0); n != 2 {
		t.Errorf("%d events routed, want 2", n)
	}
	if n := w.seen.get(func(s *seen) int { return s.duplicates }); n != 3 {
		t.Errorf("%d duplicates absorbed, want 3", n)
	}
	// Remembered for 48 h of partition time, not longer.
	w.clock.jump(47 * 3600e9)
	w.consumed(0, w.arrive(e))
	w.clock.jump(2 * 3600e9)
	w.consumed(0, w.arrive(e))
	if n := count[control.Routed](w, 0); n != 3 {
		t.Errorf("%d events routed, want 3: the key lapses after 48 h", n)
	}
	w.check()
}

func TestInputPositionCoversWholeMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var last uint64
	for range 6 { // 1,800 events wait when the holder begins
		var events []*inboundv1.Event
		for n := range 300 {
			events = append(events, w.message(person(0, n)))
		}
		last = w.arrive(events...)
	}
	w.start()
	w.held()
	w.consumed(0, last)
	decided := map[uint64]int{}
	for _, rec := range w.records(0) {
		if len(rec.Entries) > eventlog.MaxEvents {
			t.Errorf("a record of %d events", len(rec.Entries))
		}
		for _, e := range rec.Entries {
			if r, ok := e.Event.(control.Routed); ok {
				decided[r.Input.Sequence]++
			}
		}
		for seq := uint64(1); seq <= rec.Input; seq++ {
			if decided[seq] != 300 {
				t.Fatalf("input position %d, and of message %d only %d events are decided", rec.Input, seq, decided[seq])
			}
		}
	}
	if decided[last] != 300 {
		t.Errorf("%d events of the last message", decided[last])
	}
	w.check()
}

func TestMessageCutByARecordIsResumedAfterRestart(t *testing.T) {
	t.Parallel()
	w := started(t)
	// More than a record holds in one message; the role stops after the first.
	var events []*inboundv1.Event
	for n := range 700 {
		events = append(events, w.message(person(0, n)))
	}
	stopping := make(chan struct{})
	calls := 0
	w.log.inject(func(l *faultyLog) {
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			if p == 0 {
				if calls++; calls == 2 {
					close(stopping)
				}
				if calls >= 2 {
					return 0, errDeposed // anything but an acknowledgement
				}
			}
			return w.conn.AppendLog(t.Context(), p, data, expected)
		}
	})
	seq := w.arrive(events...)
	<-stopping
	if in := w.svc.holders[0].part.Applied().Input; in >= seq {
		t.Errorf("input position %d in the middle of message %d", in, seq)
	}
	w.stop()
	w.log.inject(func(l *faultyLog) { l.append = nil })
	w.start()
	w.held()
	w.consumed(0, seq)
	seen := map[control.Ref]int{}
	for _, ref := range w.routed(0) {
		if seen[ref]++; seen[ref] > 1 {
			t.Errorf("%v decided twice", ref)
		}
	}
	if len(seen) != 700 {
		t.Errorf("%d events decided, want 700", len(seen))
	}
	w.check()
}

func TestWhatCannotBeDecidedIsPassedOver(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.arriveRaw(0, nil)
	stranger := w.message(person(0, 0))
	stranger.Asset = 4711
	seq := w.arrive(stranger, w.message(person(0, 0)))
	w.consumed(0, seq)
	if n := count[control.Routed](w, 0); n != 1 {
		t.Errorf("%d events routed, want 1", n)
	}
	w.check()
}

// TestInputThatCannotBeReadHalts: its events were taken and would be lost. Only an
// operator may say so.
func TestInputThatCannotBeReadHalts(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	data, err := proto.Marshal(&inboundv1.Batch{Events: []*inboundv1.Event{w.message(person(0, 1))}})
	if err != nil {
		t.Fatal(err)
	}
	data = inbound.Seal(data)
	data[len(data)/2] ^= 4
	at := w.arriveRaw(0, data)
	last := w.arrive(w.message(person(0, 2)))
	w.halts(fmt.Sprintf("input %d: inbound: batch is damaged", at))
	if st := w.svc.Statuses()[0]; st.Damage != DamageInput || st.Input >= at {
		t.Errorf("%+v", st)
	}
	w.consumed(1, w.arrive(w.message(person(1, 0)))) // the others go on
	_, _, err = w.repair(nil)
	loss, would := errors.AsType[*repair.WouldLoseError](err)
	if !would {
		t.Fatal(err)
	}
	told, _, err := w.repair(func(o *RepairOptions) { o.Accept, o.At = true, loss.Position })
	if err != nil || !cmp.Equal(told.begun, []string{waySkip}) {
		t.Fatalf("%v %v", told.begun, err)
	}
	w.held()
	w.consumed(0, last)
	if owner := w.shown(person(0, 2)).GetOwner(); owner != uint64(bot) {
		t.Errorf("owner %d", owner)
	}
	w.restart()
}

func TestOversizedFieldsFitIntoARecord(t *testing.T) {
	t.Parallel()
	w := started(t)
	big := make([]byte, 900<<10)
	for i := range big {
		big[i] = 'x'
	}
	e := w.message(person(0, 0))
	e.Kind, e.Metadata, e.PreviousOwner, e.NewOwner = uint32(control.KindPlatformPass), string(big[:450<<10]), uint64(batonApp), uint64(control.PageInbox)
	e.Mid = string(big[:450<<10])
	w.consumed(0, w.arrive(e))
	if got := w.shown(person(0, 0)); got.GetOwner() != uint64(control.PageInbox) {
		t.Errorf("owner %d", got.GetOwner())
	}
	w.check()
}

func TestFullQueueLeavesTheSharedReader(t *testing.T) {
	t.Parallel()
	w := started(t)
	release := make(chan struct{})
	blocked := make(chan struct{}, 1)
	w.log.inject(func(l *faultyLog) {
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			if p == 0 {
				select {
				case blocked <- struct{}{}:
				default:
				}
				<-release
			}
			return w.conn.AppendLog(t.Context(), p, data, expected)
		}
	})
	w.arrive(w.message(person(0, 0)))
	<-blocked
	var last uint64
	for range 4 * inputQueue {
		last = w.arrive(w.message(person(0, 1)))
	}
	w.consumed(1, w.arrive(w.message(person(1, 0)))) // not held up
	close(release)
	w.consumed(0, last)
	if n := w.seen.get(func(s *seen) int { return s.alone }); n == 0 {
		t.Error("the partition never left the shared reader")
	}
	got := w.routed(0)
	for i := 1; i < len(got); i++ {
		if got[i].Sequence <= got[i-1].Sequence {
			t.Fatalf("input %d after %d", got[i].Sequence, got[i-1].Sequence)
		}
	}
	if len(got) != 4*inputQueue+1 {
		t.Errorf("%d events decided, want %d", len(got), 4*inputQueue+1)
	}
	w.check()
}

// A message of the input that cannot be read is not passed over: whose events it
// holds is not known.
// lateStart holds the beginning of the shared reader back.
type lateStart struct {
	Input
	open chan struct{}
}

func (l lateStart) InboundRange(ctx context.Context) (first, last, bytes uint64, err error) {
	select {
	case <-l.open:
		return l.Input.InboundRange(ctx)
	case <-ctx.Done():
		return 0, 0, 0, ctx.Err()
	}
}

// Nobody relies on the shared reader before it is known where it begins: what
// came until then would be passed over for ever.
func TestTenureReadsAloneUntilTheSharedReaderBegins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	open := make(chan struct{})
	w.cfg.Standby, w.input.Input = true, lateStart{w.input.Input, open}
	w.start()
	w.held()
	w.arrive(w.message(person(0, 0)))
	close(open)
	w.until("the reader has begun", func() bool {
		h := w.svc.holders[0]
		h.intake.mu.Lock()
		defer h.intake.mu.Unlock()
		return h.intake.mu.offered > 0 && h.intake.mu.offered != unknown
	})
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	if n := count[control.Routed](w, 0); n != 2 {
		t.Errorf("%d of 2 events are decided", n)
	}
}

func TestDamagedInputHaltsEveryPartition(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.input.spoil(fmt.Errorf("%w: bundle at sequence 9", bus.ErrDamaged))
	w.arrive(w.message(person(1, 0)))
	w.halts("damaged message: bundle at sequence 9")
	w.until("all partitions are halted", func() bool {
		return !slices.ContainsFunc(w.svc.Statuses(), func(st Status) bool { return st.Halted == "" })
	})
}

// What a store is behind is read with one reader for all partitions.
func TestTailIsReplayedForAllPartitionsAtOnce(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.busy()
	w.stop()
	w.dir = t.TempDir() // a store that knows nothing
	alone := errors.New("the claims must find nothing left to read")
	read := 0
	w.log.inject(func(l *faultyLog) {
		l.Log = tailOnly{l.Log, alone, &read}
	})
	w.start()
	w.held()
	if read != 1 {
		t.Errorf("%d reads of the log, wanted 1", read)
	}
	w.check()
}

// tailOnly is a log that is read as a whole and not record by record.
type tailOnly struct {
	Log
	err  error
	read *int
}

func (l tailOnly) ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error {
	*l.read++
	return l.Log.ReadLog(ctx, o, fn)
}

func (l tailOnly) NextLog(ctx context.Context, p int, after uint64) (bus.Message, error) {
	m, err := l.Log.NextLog(ctx, p, after)
	if err == nil {
		return bus.Message{}, l.err
	}
	return m, err
}
