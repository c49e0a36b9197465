package ownership_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store/storetest"
	"github.com/baton-router/baton/services/ownership"
)

// errLost is what a publish says whose acknowledgement does not come.
var errLost = errors.Join(bus.ErrOutcomeUnknown, errors.New("the acknowledgement was lost"))

// heldLog keeps the records of one partition back once it is closed: their
// publishes are on the way and have no outcome.
type heldLog struct {
	*bus.Conn
	partition int
	closed    atomic.Bool
	mu        sync.Mutex
	held      []heldRecord
}

type heldRecord struct {
	data     []byte
	expected uint64
}

func (l *heldLog) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if p != l.partition || !l.closed.Load() {
		return l.Conn.AppendLog(ctx, p, data, expected)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, heldRecord{append([]byte(nil), data...), expected})
	return 0, errLost
}

func (l *heldLog) records() []heldRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]heldRecord(nil), l.held...)
}

// Crash point 5, third variant: a record is on the way when its holder goes; it
// lands after the next holder's claim and must be refused, and what it decided
// is decided by the next holder, once. While it has no outcome, its holder
// answers nothing and repeats it byte for byte.
func TestCrashRecordLandsAfterTheNextStart(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	key := person(1)
	log := &heldLog{Conn: s.conn, partition: partition.Of(key, parts)}
	first := s.hold(s.open(storetest.NewDisk()), log, ownership.Observer{})
	first.awaitHeld()
	s.write(40)
	s.allDecidedOnce()
	log.closed.Store(true)
	answered := make(chan *commandv1.Response, 1)
	go func() { r, _ := s.askWithin(pass(1, key), soon/10); answered <- r }()
	if !soonTrue(func() bool { return len(log.records()) >= 3 }) {
		t.Fatal("the record was not repeated")
	}
	for _, again := range log.records() {
		if string(again.data) != string(log.records()[0].data) || again.expected != log.records()[0].expected {
			t.Error("a repeat is not the record that was sent first")
		}
	}
	select {
	case r := <-answered:
		t.Errorf("answered without an outcome: %v", r)
	default:
	}

	second := s.hold(s.open(storetest.NewDisk()), s.conn, ownership.Observer{})
	second.awaitHeld()
	late := log.records()[0]
	if _, err := s.conn.AppendLog(t.Context(), log.partition, late.data, late.expected); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("a record of the deposed holder that lands late: %v", err)
	}
	first.stop()
	if r := <-answered; r.GetStatus() == commandv1.Status_STATUS_OK {
		t.Error("the deposed holder answered with success")
	}
	s.write(20)
	s.allDecidedOnce()
	second.equalsFold()
}

// lossyLog stores records and loses every third acknowledgement.
type lossyLog struct {
	*bus.Conn
	calls atomic.Int64
}

func (l *lossyLog) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	seq, err := l.Conn.AppendLog(ctx, p, data, expected)
	if err == nil && l.calls.Add(1)%3 == 0 {
		return 0, errLost
	}
	return seq, err
}

// Crash point 5: an unknown outcome is closed by writing. A record that landed
// is recognised by its group when its repeat is refused, and answered once.
func TestCrashUnknownOutcomeIsClosedByWriting(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	log := &lossyLog{Conn: s.conn}
	var fenced atomic.Int64
	h := s.hold(s.open(storetest.NewDisk()), log, ownership.Observer{Fenced: func(int) { fenced.Add(1) }})
	h.awaitHeld()
	for n := range 12 {
		s.write(16)
		s.allDecidedOnce()
		r, err := s.ask(pass(byte(n+1), person(n)))
		if err != nil || r.GetStatus() != commandv1.Status_STATUS_OK {
			t.Fatalf("pass of thread %d: %v %v", n, r, err)
		}
	}
	h.equalsFold()
	passes := 0
	_, fold := s.history()
	for n := range 12 {
		st, ok := fold.Partition(uint32(partition.Of(person(n), parts))).State(person(n))
		if ok && st.Owner == control.AppID(second) {
			passes++
		}
	}
	if passes != 12 {
		t.Errorf("%d of 12 threads were passed", passes)
	}
	if fenced.Load() != 0 {
		t.Errorf("the only holder thought %d times that it was deposed", fenced.Load())
	}
}

// Two nodes that both hold every partition depose each other again and again:
// nothing is decided twice and, what the shared reader had passed when a holder
// claims again, nothing is left out.
func TestCrashHoldersDeposeEachOther(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	var fenced atomic.Int64
	count := ownership.Observer{Fenced: func(int) { fenced.Add(1) }}
	a := s.hold(s.open(storetest.NewDisk()), s.conn, count)
	b := s.hold(s.open(storetest.NewDisk()), s.conn, count)
	if !soonTrue(func() bool { s.write(8); return fenced.Load() >= 6 }) {
		t.Fatalf("deposed %d times only", fenced.Load())
	}
	b.stop()
	s.write(16)
	s.allDecidedOnce()
	a.equalsFold()
}

// A record that a deposed holder wrote although the fence should have refused
// it is passed over; the partition says so and goes on to take input.
func TestCrashStaleRecordIsPassedOver(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	first := s.hold(s.open(storetest.NewDisk()), s.conn, ownership.Observer{})
	first.awaitHeld()
	s.write(32)
	s.allDecidedOnce()
	first.stop()
	again := s.hold(first.store, s.conn, ownership.Observer{})
	again.awaitHeld()
	again.stop()
	p := partition.Of(person(1), parts)
	forgeStale(t, s, p)
	next := s.hold(s.open(storetest.NewDisk()), s.conn, ownership.Observer{})
	next.awaitHeld()
	if st := next.service.Statuses()[p]; st.Skipped != 1 || st.Halted != "" {
		t.Errorf("after a stale record: %+v", st)
	}
	s.write(32)
	last := ^uint64(0)
	if !soonTrue(func() bool {
		last, _ = s.conn.LastInbound(t.Context(), p)
		return next.service.Statuses()[p].Input >= last
	}) {
		t.Errorf("the partition decided its input up to %d, which ends at %d", next.service.Statuses()[p].Input, last)
	}
}

// forgeStale appends a record of an ended epoch, as a broken fence would.
func forgeStale(t *testing.T, s *streams, p int) {
	t.Helper()
	last, err := s.conn.LastLog(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		t.Fatal(err)
	}
	stale := eventlog.Record{
		Partition: rec.Partition, Epoch: rec.Epoch - 1, Group: [16]byte{1}, First: rec.Last() + 1, DecidedAt: rec.DecidedAt,
		RosterVersion: rec.RosterVersion, Input: rec.Input, BatonID: rec.BatonID, Prev: rec.Hash,
	}
	if _, err := s.conn.AppendLog(t.Context(), p, eventlog.Encode(&stale), last.Sequence); err != nil {
		t.Fatal(err)
	}
}

// failingLog refuses every fifth record before it is sent.
type failingLog struct {
	*bus.Conn
	calls atomic.Int64
}

func (l *failingLog) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	if l.calls.Add(1)%5 == 0 {
		return 0, bus.ErrInvalid
	}
	return l.Conn.AppendLog(ctx, p, data, expected)
}

// A step that cannot be logged is dropped and the partition claimed again: what
// the step had taken from the input is decided by the next tenure.
func TestCrashDroppedStepIsDecidedAgain(t *testing.T) {
	t.Parallel()
	s := newStreams(t)
	h := s.hold(s.open(storetest.NewDisk()), &failingLog{Conn: s.conn}, ownership.Observer{})
	s.write(100)
	h.awaitHeld()
	s.write(100)
	s.allDecidedOnce()
	h.equalsFold()
}
