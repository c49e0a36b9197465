package fanout

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// laneState is where a lane waits.
type laneState uint8

const (
	laneEmpty   laneState = iota // nothing queued
	laneReady                    // in one of the engine's lists of ready lanes
	laneFlying                   // its first letters are in a POST
	laneParked                   // its head failed and waits for its retry
	laneHeld                     // its origin may not start a POST now
	laneBlocked                  // its head is exhausted under BlockThread
)

// lane is the FIFO of one thread within an engine: at most one POST under way.
// All of its letters come from one origin, because a thread has one partition.
type lane struct {
	thread control.ThreadKey
	queue  []*letter
	state  laneState
	// flying is how many of the first letters are in a POST; stale says that
	// they are to be forgotten whatever comes of it.
	flying int
	stale  bool
	// since is when its head began to fail; zero when it does not.
	since   time.Time
	retryAt time.Time
	index   int    // in the heap of parked lanes
	ticket  uint64 // order of becoming ready
	// in is the line that it stands in, between two others; nil for none.
	in             *line
	before, behind *lane
}

func (l *lane) head() *letter { return l.queue[0] }

// shortQueue is how many letters are rather moved up than their place given up.
const shortQueue = 16

// pop removes the first n letters.
func (l *lane) pop(n int) {
	left := len(l.queue) - n
	if left > shortQueue {
		clear(l.queue[:n])
		l.queue = l.queue[n:]
		return
	}
	copy(l.queue, l.queue[n:])
	clear(l.queue[left:])
	l.queue = l.queue[:left]
}

// line is a list of lanes. A lane stands in one at most, so that the lanes
// themselves are its links.
type line struct {
	first, last *lane
	len         int
}

// leave takes the lane out of the line that it stands in, if any.
func (l *lane) leave() {
	in := l.in
	if in == nil {
		return
	}
	if l.before != nil {
		l.before.behind = l.behind
	} else {
		in.first = l.behind
	}
	if l.behind != nil {
		l.behind.before = l.before
	} else {
		in.last = l.before
	}
	in.len--
	l.in, l.before, l.behind = nil, nil, nil
}

// enter puts the lane at the end of a line.
func (l *lane) enter(in *line, state laneState) {
	l.state = state
	l.in, l.before = in, in.last
	if in.last != nil {
		in.last.behind = l
	} else {
		in.first = l
	}
	in.last = l
	in.len++
}

// parking is a heap of lanes by the time of their retry.
type parking []*lane

func (p parking) Len() int           { return len(p) }
func (p parking) Less(i, j int) bool { return p[i].retryAt.Before(p[j].retryAt) }

func (p parking) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].index, p[j].index = i, j
}

// Push implements heap.Interface.
func (p *parking) Push(x any) {
	if l, ok := x.(*lane); ok { // the heap holds lanes only
		l.index = len(*p)
		*p = append(*p, l)
	}
}

// Pop implements heap.Interface.
func (p *parking) Pop() any {
	old := *p
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*p = old[:len(old)-1]
	return l
}

// maxSpare is how many lanes are kept for other threads.
const maxSpare = 256

func (e *engine) newLane(thread control.ThreadKey) *lane {
	last := len(e.mu.spare) - 1
	if last < 0 {
		return &lane{thread: thread}
	}
	ln := e.mu.spare[last]
	e.mu.spare = e.mu.spare[:last]
	ln.thread = thread
	return ln
}

// spare keeps a lane that has nothing queued and stands nowhere.
func (e *engine) spare(ln *lane) {
	*ln = lane{queue: ln.queue[:0]}
	if len(e.mu.spare) < maxSpare && cap(ln.queue) <= shortQueue {
		e.mu.spare = append(e.mu.spare, ln)
	}
}
