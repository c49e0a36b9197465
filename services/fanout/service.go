package fanout

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// Log is what fan-out reads of BATON_LOG; *bus.Conn is one.
type Log interface {
	ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error
	NextLog(ctx context.Context, partition int, after uint64) (bus.Message, error)
	LastLog(ctx context.Context, partition int) (bus.Message, error)
	// Barrier proves that a partition's log ends at a sequence.
	Barrier(ctx context.Context, partition int, expected uint64) error
}

// Inbound is what fan-out reads of BATON_IN; *bus.Conn is one.
type Inbound interface {
	ReadInbound(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error
	Inbound(ctx context.Context, partition int, sequence uint64) (bus.Message, error)
	InboundRange(ctx context.Context) (first, last, bytes uint64, err error)
}

// Cursors keeps the cursors; *bus.Conn is one.
type Cursors interface {
	LoadCursor(ctx context.Context, partition int) (data []byte, sequence uint64, err error)
	SaveCursor(ctx context.Context, partition int, data []byte, expected uint64) (uint64, error)
	// SaveCursors saves all of them or none. The errors are those of SaveCursor;
	// after any but bus.ErrOutcomeUnknown each is saved alone.
	SaveCursors(ctx context.Context, moves []bus.CursorMove) ([]uint64, error)
}

// Rosters gives the roster at a version.
type Rosters interface {
	// Current is the newest snapshot this node knows; it does not block. It
	// must have been loaded before the role runs.
	Current() *roster.Snapshot
	// At returns the snapshot of a version that a record names, reading it if
	// need be; the error is temporary.
	At(ctx context.Context, version uint64) (*roster.Snapshot, error)
	// Changed is closed when a newer snapshot than Current's has come.
	Changed() <-chan struct{}
}

// Deps is what the role needs from outside. All are required but Observers
// and Journal.
type Deps struct {
	Log     Log
	Inbound Inbound
	Cursors Cursors
	Rosters Rosters
	// Steering carries operators' orders to the holders.
	Steering Steering
	// Transport makes the transport of one app; its connections are shared
	// with no other. maxConns is what the app may use at once.
	Transport func(app App, maxConns int) Transport
	Observers Observers
	// Journal keeps exchanges and dead letters; nil for nobody.
	Journal Journal
	Logger  *slog.Logger
}

func (d *Deps) validate() error {
	if d.Log == nil || d.Inbound == nil || d.Cursors == nil || d.Rosters == nil || d.Steering == nil || d.Transport == nil || d.Logger == nil {
		return errors.New("fanout: Log, Inbound, Cursors, Rosters, Steering, Transport and Logger are required")
	}
	return nil
}

// Service is the role. New makes it, Run runs it once.
type Service struct {
	config    Config
	deps      Deps
	log       *slog.Logger
	observers *Observers
	payloads  *payloads
	memory    *budget
	sockets   *sockets
	throttle  throttle
	id        [16]byte // of this process, in the cursors that it writes
	// joined is signalled when a partition is held that the readers are past.
	joined chan struct{}
	// hurry is signalled when deliveries wait for a lease.
	hurry chan struct{}
	route route
	// shrunk says that the log has lost records, and that it is not known of all
	// partitions yet whether they had read some.
	shrunk atomic.Bool
	// catchUps are the reads for apps that lag.
	catchUps turns

	// work ends when the service stops, nil before Run; crew are the
	// goroutines of it.
	work context.Context //nolint:containedctx // lifetime of Run, for goroutines begun later
	crew sync.WaitGroup

	mu struct {
		sync.Mutex
		engines map[control.AppID]*engine
		closers map[control.AppID]context.CancelFunc // of an engine's own goroutines
		known   map[control.AppID]App                // today's apps
		version uint64
		holders map[int]*holder
		tenures map[int]*tenure
		begun   bool              // Run has begun them; what is held from now on begins at once
		refused map[int]error     // partitions whose cursor cannot be used
		shunned map[int]time.Time // partitions that were given up halted, and when
	}
}

// New checks configuration and dependencies; the error lists every fault.
func New(c Config, d Deps) (*Service, error) {
	if err := errors.Join(c.Validate(), d.validate()); err != nil {
		return nil, err
	}
	s := &Service{
		config: c, deps: d, log: d.Logger, observers: &d.Observers, id: newIdentity(), joined: make(chan struct{}, 1), hurry: make(chan struct{}, 1),
		memory: &budget{limit: int64(c.TotalBytes)}, sockets: &sockets{limit: c.TotalPosts},
	}
	s.payloads = newPayloads(d.Inbound, c.CacheBytes, s.observers)
	s.mu.engines = map[control.AppID]*engine{}
	s.mu.closers = map[control.AppID]context.CancelFunc{}
	s.mu.known = map[control.AppID]App{}
	s.mu.holders = map[int]*holder{}
	s.mu.refused, s.mu.shunned = map[int]error{}, map[int]time.Time{}
	s.mu.tenures = map[int]*tenure{}
	for _, p := range c.Partitions {
		s.Hold(p)
	}
	return s, nil
}

// Run claims the partitions to hold and delivers until ctx ends; then it lets the POSTs
// under way end (Config.DrainFor), saves the cursors, and returns nil. It
// returns when all of its goroutines have ended.
func (s *Service) Run(ctx context.Context) error {
	work, stop := context.WithCancel(ctx)
	defer stop()
	s.mu.Lock()
	again := s.work != nil
	if !again {
		s.work = work
	}
	s.mu.Unlock()
	if again {
		return errors.New("fanout: Run was called twice")
	}
	s.applyRoster(s.deps.Rosters.Current())
	s.crew.Go(func() { s.watchRoster(work) })
	s.mu.Lock()
	s.mu.begun = true
	for p, t := range s.mu.tenures {
		s.begin(p, t)
	}
	s.mu.Unlock()
	s.crew.Go(func() { s.read(work) })
	s.crew.Go(func() { s.saveLoop(work) })
	if !s.config.Sole {
		s.crew.Go(func() { s.auditLoop(work) })
	}
	<-ctx.Done()
	s.crew.Wait()
	s.drain(context.WithoutCancel(ctx))
	return nil
}

// drain ends the engines, then saves the cursors for the last time: what ended
// meanwhile is in them.
func (s *Service) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.config.DrainFor)
	defer cancel()
	defer s.throttle.stop()
	var wg sync.WaitGroup
	for _, e := range s.allEngines() {
		wg.Go(func() { e.drain(ctx) })
	}
	wg.Wait()
	// The engines had their time; the saves have their own.
	saving, done := context.WithTimeout(context.WithoutCancel(ctx), s.config.SaveTimeout)
	defer done()
	for _, h := range s.allHolders() {
		wg.Go(func() { h.release(saving) })
	}
	wg.Wait()
}

// allEngines are the engines, by app.
func (s *Service) allEngines() []*engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.mu.engines), func(a, b *engine) int { return cmp.Compare(a.id, b.id) })
}

// allHolders are the holders, by partition.
func (s *Service) allHolders() []*holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.mu.holders), func(a, b *holder) int { return cmp.Compare(a.partition, b.partition) })
}

func (s *Service) holder(p int) *holder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.holders[p]
}

// receiver returns the app's engine; nil for an app without one. known says
// whether the app exists today, which nobody can say before the roster of the
// given version was seen.
func (s *Service) receiver(app control.AppID, version uint64) (e *engine, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known = s.mu.known[app]
	return s.mu.engines[app], known || s.mu.version < version
}

// today are the apps as they are now, and the version of the roster that says so;
// the map is never changed.
func (s *Service) today() (apps map[control.AppID]App, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.known, s.mu.version
}

// since is how long ago a time of the log was; zero for one to come, which the
// simulator's clock makes.
func since(at control.Millis) time.Duration {
	return max(0, time.Since(time.UnixMilli(int64(at))))
}
