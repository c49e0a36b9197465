package ownership

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

func TestUnknownOutcomeIsClosedByTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, lands := range map[string]bool{"the first landed": true, "the first is lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := started(t)
			var mu sync.Mutex
			var sent [][]byte
			w.log.inject(func(l *faultyLog) {
				l.append = func(p int, data []byte, expected uint64) (uint64, error) {
					mu.Lock()
					defer mu.Unlock()
					sent = append(sent, bytes.Clone(data))
					switch {
					case len(sent) == 1 && lands:
						if _, err := w.conn.AppendLog(t.Context(), p, data, expected); err != nil {
							return 0, err
						}
						return 0, bus.ErrOutcomeUnknown
					case len(sent) == 1:
						return 0, bus.ErrOutcomeUnknown
					case len(sent) == 2:
						return 0, bus.ErrInFlight
					}
					return w.conn.AppendLog(t.Context(), p, data, expected)
				}
			})
			if r := w.take(agent, person(0, 0)); r.GetStatus() != commandv1.Status_STATUS_REFUSED && r.GetStatus() != commandv1.Status_STATUS_OK {
				t.Errorf("answer %v", r)
			}
			w.consumed(1, w.arrive(w.message(person(1, 0))))
			mu.Lock()
			for i := 1; i < 3; i++ {
				if !bytes.Equal(sent[0], sent[i]) {
					t.Errorf("repeat %d is not the same record", i)
				}
			}
			mu.Unlock()
			w.log.inject(func(l *faultyLog) { l.append = nil })
			if got := w.svc.Statuses()[0].Epoch; got != 1 {
				t.Errorf("epoch %d: the holder was deposed by itself", got)
			}
			w.check()
		})
	}
}

// TestDeposedHolderAnswersNothingAndClaimsAgain: the caller whose command was in
// the record that the fence refused is never answered, nor is what still waited
// then: the other holder has got it too, and may have given an answer that logged
// nothing. The next tenure does not decide it.
func TestDeposedHolderAnswersNothingAndClaimsAgain(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	reached, resume := w.stopAtRecord(0)
	staged := w.asking(releaseRequest(w.request(bot, person(0, 0))))
	<-reached
	queued := w.asking(takeRequest(w.request(bot, person(0, 0))))
	w.until("a command waits", func() bool { return len(w.svc.holders[0].commands) == 1 })
	w.foreign(func(r *eventlog.Record) {
		r.Entries = []eventlog.Entry{{Thread: thread(person(0, 0)), Event: control.Taken{
			Change: control.Change{From: bot, To: agent, At: w.clock.millis(), ExpiresAt: w.clock.millis() + control.Day, Why: control.WhyCall},
		}}}
	})
	// Input that the deposed tenure takes and does not decide is not lost.
	seq := w.arrive(w.message(person(0, 1)))
	close(resume)
	w.until("the partition is claimed again", func() bool { return w.svc.Statuses()[0].Epoch == 3 && w.svc.Statuses()[0].Held })
	w.consumed(0, seq)
	if got := w.shown(person(0, 0)); got.GetOwner() != uint64(agent) {
		t.Errorf("owner %d, the other holder gave it to the agent", got.GetOwner())
	}
	if got := w.shown(person(0, 1)); got.GetOwner() != uint64(bot) {
		t.Errorf("the message taken by the deposed tenure is lost: %v", got)
	}
	if n := w.seen.get(func(s *seen) int { return s.fenced }); n != 1 {
		t.Errorf("fenced %d times", n)
	}
	w.check()
	w.stop()
	select {
	case a := <-staged:
		t.Errorf("the deposed holder answered %v", a)
	case a := <-queued:
		t.Errorf("the command that waited is answered %v", a)
	default:
	}
}

// TestSuccessorSeenInTheLogSilencesToo: a tenure that hears of its successor
// before the fence tells it answers nobody either.
func TestSuccessorSeenInTheLogSilencesToo(t *testing.T) {
	t.Parallel()
	w := started(t)
	reached, resume := w.stopAtRecord(0)
	w.arrive(w.message(person(0, 0)))
	<-reached
	queued := w.asking(show(w.request(0, person(0, 0))))
	w.until("a command waits", func() bool { return len(w.svc.holders[0].commands) == 1 })
	(*w.svc.holders[0].depose.Load())(errDeposed)
	close(resume)
	w.until("the partition is claimed again", func() bool { return w.svc.Statuses()[0].Epoch == 2 && w.svc.Statuses()[0].Held })
	w.shown(person(0, 0))
	w.check()
	select {
	case a := <-queued:
		t.Errorf("the command that waited is answered %v", a)
	default:
	}
}

// TestYieldTellsWhoWaitsToAskAgain: the record under way is finished and
// answered; only calls that no record has taken are told to ask again.
func TestYieldTellsWhoWaitsToAskAgain(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	reached, resume := w.stopAtRecord(0)
	staged := w.asking(releaseRequest(w.request(bot, person(0, 0))))
	<-reached
	again := takeRequest(w.request(agent, person(0, 0)))
	queued := w.asking(again)
	w.until("a command waits", func() bool { return len(w.svc.holders[0].commands) == 1 })
	yielded := make(chan bool, 1)
	go func() { yielded <- w.svc.Yield(0) }()
	w.until("the tenure is told to end", func() bool { return !w.wished(0) })
	close(resume)
	if !<-yielded {
		t.Error("the partition was not held")
	}
	if a := <-staged; a.GetStatus() != statusOK || a.GetPosition() == 0 {
		t.Errorf("the record under way is answered %v", a)
	}
	if a := <-queued; a.GetStatus() != statusUnavailable || a.GetEpoch() != 1 || a.GetRetryAfterMs() == 0 {
		t.Errorf("the command that waited is answered %v", a)
	}
	if n := count[control.Taken](w, 0); n != 0 {
		t.Errorf("decided %d times, its caller was told to ask again", n)
	}
	w.svc.Hold(0)
	w.held()
	if a := w.ask(again); a.GetStatus() != statusOK || a.GetEpoch() != 2 {
		t.Errorf("asked again: %v", a)
	}
	w.check()
}

// wished reports whether the partition is to be held.
func (w *world) wished(p int) bool {
	wish := w.svc.holders[p].wish
	wish.mu.Lock()
	defer wish.mu.Unlock()
	return wish.mu.wanted
}

// stopAtRecord stops the partition's holder when it is about to send its next
// record, until resume is closed.
func (w *world) stopAtRecord(p int) (reached <-chan struct{}, resume chan struct{}) {
	at, resume := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.seen.at(func(point Point, partition int) {
		if point == PointRecordSend && partition == p {
			once.Do(func() {
				close(at)
				<-resume
			})
		}
	})
	return at, resume
}

func TestReadIsAnsweredAfterABarrierThatBeganLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Barrier = true
	begun, finish := make(chan struct{}, 16), make(chan struct{})
	w.log.barrier = func(p int, expected uint64) error {
		begun <- struct{}{}
		select {
		case <-finish:
		case <-t.Context().Done():
		}
		return w.conn.Barrier(t.Context(), p, expected)
	}
	w.start()
	w.held()
	first := w.asking(show(w.request(0, person(0, 0))))
	<-begun // the first read's barrier is under way
	second := w.asking(show(w.request(0, person(0, 0))))
	w.until("the second read waits", func() bool { return len(w.svc.holders[0].commands) == 1 })
	select {
	case <-first:
		t.Fatal("answered before the barrier")
	default:
	}
	finish <- struct{}{}
	if a := <-first; a.GetStatus() != commandv1.Status_STATUS_OK {
		t.Fatalf("first read: %v", a)
	}
	<-begun // the second has a barrier of its own
	select {
	case <-second:
		t.Fatal("the second read was answered by a barrier that began before it")
	default:
	}
	close(finish)
	if a := <-second; a.GetStatus() != commandv1.Status_STATUS_OK {
		t.Fatalf("second read: %v", a)
	}
}

func TestBarrierWithoutOutcomeIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Barrier = true
	var mu sync.Mutex
	faults := []error{bus.ErrOutcomeUnknown, bus.ErrInFlight, bus.ErrUnavailable}
	w.log.barrier = func(p int, expected uint64) error {
		mu.Lock()
		defer mu.Unlock()
		if len(faults) > 0 {
			err := faults[0]
			faults = faults[1:]
			return err
		}
		return w.conn.Barrier(t.Context(), p, expected)
	}
	w.start()
	w.held()
	if a := w.ask(show(w.request(0, person(0, 0)))); a.GetEpoch() != 1 {
		t.Errorf("answer %v", a)
	}
}

func TestDeposedReaderAnswersNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Barrier = true
	w.start()
	w.held()
	w.foreign(nil)
	read := w.asking(show(w.request(0, person(0, 0))))
	w.until("claimed again", func() bool { return w.svc.Statuses()[0].Epoch == 3 })
	select {
	case a := <-read:
		if a.GetEpoch() < 3 {
			t.Errorf("answered %v by epoch %d, 2 had been claimed", a, a.GetEpoch())
		}
	default: // nothing was answered
	}
}

func TestStopDoesNotWaitForADeadLog(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.log.inject(func(l *faultyLog) {
		l.append = func(int, []byte, uint64) (uint64, error) { return 0, bus.ErrOutcomeUnknown }
	})
	w.arrive(w.message(person(0, 0)))
	w.until("the record is repeated", func() bool { return w.seen.get(func(s *seen) int { return s.repeated }) > 0 })
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > finishGrace+3*time.Second {
		t.Errorf("stopping took %s", took)
	}
	w.log.inject(func(l *faultyLog) { l.append = nil })
	w.start()
	w.held()
	w.until("the message is decided", func() bool { return w.shown(person(0, 0)).GetOwner() == uint64(bot) })
	w.check()
}

func TestRecordUnderWayIsFinishedWhileStopping(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	reached, resume := make(chan struct{}), make(chan struct{})
	w.log.inject(func(l *faultyLog) {
		l.append = func(p int, data []byte, expected uint64) (uint64, error) {
			close(reached)
			<-resume
			return w.conn.AppendLog(context.Background(), p, data, expected)
		}
	})
	r := w.request(bot, person(0, 0))
	r.Verb = &commandv1.Request_Release{Release: &commandv1.Release{}}
	answer := w.asking(r)
	<-reached
	stopped := make(chan struct{})
	go func() { defer close(stopped); w.stop() }()
	close(resume)
	<-stopped
	if a := <-answer; a.GetStatus() != commandv1.Status_STATUS_OK {
		t.Errorf("answer %v", a)
	}
	w.log.inject(func(l *faultyLog) { l.append = nil })
	w.start()
	w.held()
	if got := w.shown(person(0, 0)); got.GetOwner() != 0 {
		t.Errorf("owner %d after a release that was acknowledged", got.GetOwner())
	}
	w.check()
}

// A record or a barrier that went to a leader that is dead is repeated soon: the
// wait for it comes on top of the election.
func TestWriteToADeadLeaderIsRepeatedSoon(t *testing.T) {
	t.Parallel()
	w := started(t, several)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	for name, ask := range map[string]func() *commandv1.Response{
		"a record":  func() *commandv1.Response { return w.pass(bot, agent, person(0, 0)) },
		"a barrier": func() *commandv1.Response { return w.ask(releaseRequest(w.request(bot, person(0, 1)))) },
	} {
		w.log.inject(func(l *faultyLog) { l.unheard = 2 })
		ask()
		w.log.inject(func(l *faultyLog) {
			if l.unheard > 0 {
				t.Errorf("%s: %d calls were not made", name, l.unheard)
			}
		})
	}
}
