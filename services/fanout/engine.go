package fanout

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/baton-router/baton/pkg/control"
)

// errStopped cancels the POSTs of an engine that stops, or of a partition that
// is no longer held.
var errStopped = errors.New("fanout: stopped")

// Transport sends an app's POSTs; egress.Transport makes one. It calls the hooks
// of a httptrace.ClientTrace on the goroutine of RoundTrip, and has let go of the
// request when RoundTrip returns.
type Transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// budget is memory shared by the engines of a service, in bytes.
type budget struct {
	used  atomic.Int64
	limit int64
}

// bounds of an engine's memory.
type bounds struct {
	letters int
	bytes   int
	// floor is what an engine may hold when the shared budget is used up, so
	// that apps that cannot deliver never starve those that can.
	floor  int
	shared *budget
}

// engine delivers to one app. Inside, a FIFO per thread; lanes whose head may
// go now wait in lists, one per class of POST, in the order of becoming ready.
// POSTs run on goroutines that exist only while there is something to post.
type engine struct {
	id        control.AppID
	log       *slog.Logger
	observers *Observers
	agent     string
	bounds    bounds
	sockets   *sockets
	throttle  *throttle
	// onPause is called on a goroutine of its own when the app answers 410 or
	// its policy pauses it.
	onPause func(app control.AppID, reason string)

	journal Journal // nil for none
	parcels sync.Pool
	// rendering is held while a POST is written and signed.
	rendering sync.Mutex

	// ctx ends when the engine is given up (abandon); flights counts its
	// goroutines.
	ctx     context.Context //nolint:containedctx // the engine's own lifetime, ended by close
	cancel  context.CancelCauseFunc
	flights sync.WaitGroup
	// room is signalled when the app's own reader should look again: a full
	// engine has room, or a place fell behind. knock asks for a handshake.
	room  chan struct{}
	knock chan struct{}

	mu struct {
		sync.Mutex
		app       App
		transport Transport
		lanes     map[control.ThreadKey]*lane
		spare     []*lane       // to be used again
		fresh     [classes]line // heads never tried, by class
		split     line          // heads of failed batches, to go alone at once
		due       line          // parked heads whose time has come
		held      line          // heads whose origin may not start
		parked    parking
		blocked   int
		tickets   uint64
		batches   map[*batch]struct{}
		landed    chan struct{} // closed at the end of the next POST, when somebody waits
		flying    int           // POSTs under way
		lent      int           // those of them with a socket that is lent
		asked     bool          // waits for a socket
		throttled bool          // waits to be invited by the throttle
		pace      pace
		rate      *rate.Limiter // of POSTs; nil for none
		retrying  int           // those of them that retry a parked head
		lastRetry bool
		letters   int
		bytes     int
		hungry    bool // an offer was refused for want of room
		verified  bool // the handshake passed for app.Callback
		paused    bool
		closing   bool
		breaker   breaker
		looked    time.Time // when eldest was found
		eldest    control.Millis
		until     time.Time // nothing starts before: Retry-After, rate limit
		begun     time.Time // of the first attempt that began last
		starting  bool      // a goroutine is on its way to begin a POST
		timer     *time.Timer
		alarm     time.Time // that the timer is set to; zero while it is not
	}
}

type engineParts struct {
	app       App
	transport Transport
	log       *slog.Logger
	observers *Observers
	agent     string
	bounds    bounds
	sockets   *sockets
	throttle  *throttle
	journal   Journal
	onPause   func(app control.AppID, reason string)
}

func newEngine(p engineParts) *engine {
	e := &engine{
		id: p.app.ID, log: p.log.With("app_id", p.app.ID.String()), observers: p.observers, agent: p.agent,
		bounds: p.bounds, sockets: p.sockets, throttle: p.throttle, journal: p.journal, onPause: p.onPause, room: make(chan struct{}, 1),
		knock: make(chan struct{}, 1),
	}
	e.ctx, e.cancel = context.WithCancelCause(context.Background())
	e.mu.app, e.mu.transport = p.app.settled(), p.transport
	e.mu.pace.resize(e.mu.app.MaxInFlight)
	e.mu.rate = rateOf(e.mu.app)
	e.sockets.join()
	e.mu.lanes = make(map[control.ThreadKey]*lane)
	e.mu.batches = make(map[*batch]struct{})
	e.mu.timer = time.AfterFunc(time.Hour, e.ring)
	e.mu.timer.Stop()
	return e
}

// offer queues letters, in order, and returns how many were taken: all, or as
// many as there was room for. Letters of one thread must be offered in the
// order of their positions.
func (e *engine) offer(letters []*letter) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, l := range letters {
		if e.mu.closing || !e.hasRoom(l.size()) {
			e.mu.hungry = true
			letters = letters[:i]
			break
		}
		e.enqueue(l)
	}
	e.pump()
	return len(letters)
}

func (e *engine) hasRoom(size int) bool {
	if e.mu.letters == 0 {
		return true // a letter larger than the bound goes alone
	}
	if e.mu.letters >= e.bounds.letters || e.mu.bytes+size > e.bounds.bytes {
		return false
	}
	shared := e.bounds.shared
	return shared.used.Load()+int64(size) <= shared.limit || e.mu.bytes+size <= e.bounds.floor
}

// space is how many letters more may wait, as far as their number goes.
func (e *engine) space() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(max(e.bounds.letters-e.mu.letters, 0))
}

func (e *engine) enqueue(l *letter) {
	e.mu.letters++
	e.mu.bytes += l.size()
	e.bounds.shared.used.Add(int64(l.size()))
	ln := e.mu.lanes[l.thread]
	if ln == nil {
		ln = e.newLane(l.thread)
		e.mu.lanes[l.thread] = ln
	}
	ln.queue = append(ln.queue, l)
	if ln.state == laneEmpty {
		e.list(ln)
	}
}

// list puts a lane where its head belongs. One that has nothing queued is not
// to be used afterwards.
func (e *engine) list(ln *lane) {
	if len(ln.queue) == 0 {
		delete(e.mu.lanes, ln.thread)
		e.spare(ln)
		return
	}
	e.mu.tickets++
	ln.ticket = e.mu.tickets
	h := ln.head()
	if ln.since.IsZero() && h.attempts > 0 {
		ln.since = h.first
	}
	switch {
	case !h.next.IsZero() && h.next.After(time.Now()):
		e.park(ln, h.next)
	case h.attempts > 0:
		ln.enter(&e.mu.split, laneReady)
	default:
		ln.enter(&e.mu.fresh[h.class()], laneReady)
	}
}

func (e *engine) park(ln *lane, at time.Time) {
	ln.state, ln.retryAt = laneParked, at
	heap.Push(&e.mu.parked, ln)
}

// forget gives back the memory of a letter.
func (e *engine) forget(l *letter) {
	e.mu.letters--
	e.mu.bytes -= l.size()
	e.bounds.shared.used.Add(-int64(l.size()))
}

// makeRoom tells the app's own reader that it may read on, once half of the
// room is free.
func (e *engine) makeRoom() {
	few := e.mu.letters <= e.bounds.letters/2 && e.mu.bytes <= e.bounds.bytes/2
	if !e.mu.hungry || !few || !e.hasRoom(e.bounds.floor/2) {
		return
	}
	e.mu.hungry = false
	signal(e.room)
}

// starves reports whether the engine has refused letters and has no room yet. It
// also looks whether others have given shared room back.
func (e *engine) starves() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.makeRoom()
	return e.mu.hungry
}

// renewed puts the lanes that waited for their origins back.
func (e *engine) renewed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unhold()
	e.pump()
}

func (e *engine) unhold() {
	for n := e.mu.held.len; n > 0; n-- {
		ln := e.mu.held.first
		ln.leave()
		e.list(ln)
	}
}

// drop forgets all letters of an origin. POSTs under way that carry any of them
// are cancelled when cancel is set; their other letters are posted again.
func (e *engine) drop(from origin, cancel bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ln := range e.mu.lanes {
		if len(ln.queue) > 0 && ln.head().from == from {
			e.dropLane(ln)
		}
	}
	for b := range e.mu.batches {
		if cancel && b.carries(from) {
			b.stop()
		}
	}
	e.makeRoom()
	e.pump()
}

func (e *engine) dropLane(ln *lane) {
	for _, l := range ln.queue[ln.flying:] {
		e.forget(l)
	}
	if ln.state == laneFlying {
		clear(ln.queue[ln.flying:])
		ln.queue, ln.stale = ln.queue[:ln.flying], true
		return
	}
	e.unlist(ln)
	ln.queue, ln.state = nil, laneEmpty
	delete(e.mu.lanes, ln.thread)
}

// unlist takes a lane out of whatever it waits in.
func (e *engine) unlist(ln *lane) {
	switch ln.state {
	case laneReady, laneHeld:
		ln.leave()
	case laneParked:
		if ln.in != nil { // due
			ln.leave()
			return
		}
		heap.Remove(&e.mu.parked, ln.index)
	case laneBlocked:
		e.mu.blocked--
	case laneEmpty, laneFlying:
	}
}

// look tells the app's own reader to see whether it lags.
func (e *engine) look() { signal(e.room) }

// setPaused stops or resumes the app. Resuming gives every failing letter its
// full time again and opens blocked threads.
func (e *engine) setPaused(paused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.paused = paused
	if !paused {
		e.refresh()
	}
	e.pump()
}

func (e *engine) refresh() {
	e.mu.breaker, e.mu.until = breaker{}, time.Time{}
	if len(e.mu.parked)+e.mu.due.len+e.mu.blocked == 0 { // else they are among thousands
		return
	}
	for _, ln := range e.mu.lanes {
		if ln.state == laneFlying || ln.state == laneReady || ln.state == laneHeld || ln.state == laneEmpty {
			continue
		}
		e.unlist(ln)
		ln.since = time.Time{}
		ln.head().first, ln.head().next = time.Time{}, time.Time{}
		e.list(ln)
	}
}

// drain starts nothing more and waits for the POSTs under way, until ctx ends;
// then it cancels them and waits for that. The engine is of no use afterwards.
func (e *engine) drain(ctx context.Context) {
	e.mu.Lock()
	e.mu.closing = true
	e.mu.timer.Stop()
	transport := e.mu.transport
	e.mu.Unlock()
	stop := context.AfterFunc(ctx, e.abandon)
	e.flights.Wait()
	stop()
	e.cancel(errStopped)
	transport.CloseIdleConnections()
	e.sockets.quit()
}

// abandon cancels what the engine does.
func (e *engine) abandon() {
	e.cancel(errStopped)
	e.mu.Lock()
	defer e.mu.Unlock()
	for b := range e.mu.batches {
		b.stop()
	}
}

// release gives the memory of all that is queued back to the shared budget. To
// be called after drain.
func (e *engine) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bounds.shared.used.Add(-int64(e.mu.bytes))
	e.mu.letters, e.mu.bytes = 0, 0
	e.mu.lanes = make(map[control.ThreadKey]*lane)
}
