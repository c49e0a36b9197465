package traffic

import (
	"sync"
	"time"
)

// Tally is what an app has received since the last reset, faults since the
// beginning.
type Tally struct {
	Deliveries, Posts uint64
	// Repeated are events whose number had been there, Ahead those that came
	// before an earlier one or without it.
	Repeated, Ahead uint64
	// Unsigned are POSTs with a wrong signature, Other those without an event.
	Unsigned, Other uint64
	First, Last     int64 // ns since 1970
	Latency         Latency
	Example         string // of a fault
}

// Faults counts what may not happen.
func (t Tally) Faults() uint64 { return t.Repeated + t.Ahead + t.Unsigned }

// ledger is one app's tally at work.
type ledger struct {
	mu      sync.Mutex
	next    []uint32 // number that each thread's next event has
	tally   Tally
	latency histogram
	awaited uint64
	reached chan struct{} // closed when awaited deliveries are there; nil for nobody waits
}

func newLedger(threads int) *ledger { return &ledger{next: make([]uint32, threads)} }

// take books one POST.
func (l *ledger) take(body []byte, now time.Time, signed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Posts++
	if !signed {
		l.tally.Unsigned++
	}
	events := 0
	for s, rest, ok := nextStamp(body); ok; s, rest, ok = nextStamp(rest) {
		l.event(s, now)
		events++
	}
	if events == 0 {
		l.tally.Other++
		return
	}
	if l.tally.First == 0 {
		l.tally.First = now.UnixNano()
	}
	l.tally.Last = now.UnixNano()
	l.announce()
}

func (l *ledger) event(s stamp, now time.Time) {
	if int(s.thread) >= len(l.next) {
		l.fault(&l.tally.Ahead, s, 0)
		return
	}
	want := l.next[s.thread]
	switch {
	case s.number < want:
		l.fault(&l.tally.Repeated, s, want)
		return
	case s.number > want:
		l.fault(&l.tally.Ahead, s, want)
	}
	l.next[s.thread] = s.number + 1
	l.tally.Deliveries++
	l.latency.add(time.Duration(now.UnixNano() - s.sent))
}

func (l *ledger) fault(count *uint64, s stamp, want uint32) {
	*count++
	if l.tally.Example == "" {
		l.tally.Example = "thread " + digits(s.thread) + ": event " + digits(s.number) + " came when " + digits(want) + " was next"
	}
}

func (l *ledger) announce() {
	if l.reached != nil && l.tally.Deliveries >= l.awaited {
		close(l.reached)
		l.reached = nil
	}
}

// await returns a channel that is closed when count deliveries are there.
func (l *ledger) await(count uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	reached := make(chan struct{})
	l.awaited, l.reached = count, reached
	l.announce()
	return reached
}

// reset begins to count anew; what each thread waits for, and faults, stay, and the
// latencies if they are to be further ones.
func (l *ledger) reset(further bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally.Deliveries, l.tally.Posts, l.tally.Other, l.tally.First, l.tally.Last = 0, 0, 0, 0, 0
	if !further {
		l.latency = histogram{}
	}
}

func (l *ledger) count() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tally.Deliveries
}

// sum is the tally now; its latencies are added to all.
func (l *ledger) sum(all *histogram) Tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally
	t.Latency = l.latency.latency()
	all.merge(&l.latency)
	return t
}
