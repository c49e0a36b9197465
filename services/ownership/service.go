package ownership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

// Log is the fenced side of the partitions' log. Implemented by *bus.Conn.
type Log interface {
	// AppendLog does not keep data: its memory is the caller's on return.
	AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error)
	Barrier(ctx context.Context, p int, expected uint64) error
	LastLog(ctx context.Context, p int) (bus.Message, error)
	NextLog(ctx context.Context, p int, after uint64) (bus.Message, error)
	ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error
	// Reconnects counts how often the connection that writes was made anew.
	Reconnects() uint64
}

// Input is where inbound events come from. Implemented by *bus.Conn.
type Input interface {
	ReadInbound(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error
	Inbound(ctx context.Context, p int, sequence uint64) (bus.Message, error)
	InboundTime(ctx context.Context, sequence uint64) (time.Time, error)
	LastInbound(ctx context.Context, p int) (uint64, error)
	InboundRange(ctx context.Context) (first, last, bytes uint64, err error)
	TrimInbound(ctx context.Context, upTo uint64) error
}

// Commands is where API commands come from. Implemented by *bus.Conn.
type Commands interface {
	ServeCommands(p int, handle func(bus.CommandCall)) (stop func(), err error)
}

// Topic is the control-change topic. Implemented by *bus.Conn.
type Topic interface {
	PublishControl(ctx context.Context, messages []bus.ControlMessage, moves []bus.CursorMove) ([]uint64, error)
	ControlCursor(ctx context.Context, p int) ([]byte, uint64, error)
}

// Rosters gives the roster at a version.
type Rosters interface {
	// Current is the newest snapshot this node knows.
	Current() *roster.Snapshot
	// At returns the snapshot of a version, reading it if need be.
	At(ctx context.Context, version uint64) (*roster.Snapshot, error)
	// Changed is closed when a newer snapshot than the one returned by the
	// preceding Current has come.
	Changed() <-chan struct{}
}

// Clock tells the time. Offset is the simulator's and zero on a real platform.
type Clock interface {
	// Now carries a monotonic reading.
	Now() time.Time
	// Offset is added to every reading; it only grows.
	Offset() time.Duration
	// Jumped is closed when Offset has grown.
	Jumped() <-chan struct{}
}

// Config of the role.
type Config struct {
	// Partitions is the number of partitions of the installation.
	Partitions int
	// Standby makes the node follow the log of all partitions, so that it can
	// take any of them over without replay. Off where no other node can write.
	Standby bool
	// Holder names this node in its claims.
	Holder string
	// BatonID is the identity of the streams.
	BatonID [16]byte
	// Barrier makes answers that log nothing wait for a fenced barrier. Off
	// when the lock on the data directory makes this process the only
	// possible holder.
	Barrier bool
	// AuditEvery is how often the node looks whether the log still has the newest
	// record that it has applied (default 2 s), with Barrier only.
	AuditEvery time.Duration
	// QueueCommands bounds the commands waiting per partition (default 1024);
	// one more is answered busy.
	QueueCommands int
	// RetainInbound is how long decided input is kept, and never shorter than
	// the longest retry of an app; zero for ever.
	RetainInbound time.Duration
	// Encoding of the bodies on the control topic (default JSON).
	Encoding eventlog.Encoding
	// Effects bounds the platform calls under way at once (default 64).
	Effects int
	// Snapshots says when this node stores snapshots, if it stands by.
	Snapshots SnapshotRule
}

func (c *Config) fill() error {
	if c.Partitions <= 0 {
		return fmt.Errorf("ownership: partitions must be positive, got %d", c.Partitions)
	}
	if c.QueueCommands == 0 {
		c.QueueCommands = 1024
	}
	if c.Effects == 0 {
		c.Effects = 64
	}
	c.AuditEvery = cmp.Or(c.AuditEvery, 2*time.Second)
	c.Snapshots.fill()
	return nil
}

// Deps are the role's surroundings.
type Deps struct {
	Log      Log
	Input    Input
	Commands Commands
	Topic    Topic
	Store    *store.Store
	// Snapshots keeps copies of the store for nodes without one; nil for none.
	Snapshots Snapshots
	Rosters   Rosters
	Clock     Clock
	// Platform carries out what the holder forwards itself: held surveys and
	// mirrored sides.
	Platform Platform
	Observe  Observer
	Logger   *slog.Logger
}

// Service holds the partitions of this node. Safe for concurrent use.
type Service struct {
	cfg     Config
	deps    Deps
	holders []*holder
	topic   *topic
	effects *effects
	witness witness                                 // of the inbound stream
	again   atomic.Pointer[context.CancelCauseFunc] // ends the standby's reader, which begins anew
	shrunk  atomic.Bool                             // the log has lost records; not all partitions are compared yet
	near    atomic.Bool                             // the standby's reader has come to where the log ended when it began

	snapshots atomic.Pointer[SnapshotStatus]
}

// New prepares the role; Run does the work.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, deps: deps}
	s.snapshots.Store(&SnapshotStatus{})
	s.topic = newTopic(s)
	s.effects = newEffects(s)
	for p := range cfg.Partitions {
		h, err := newHolder(s, p)
		if err != nil {
			return nil, err
		}
		s.holders = append(s.holders, h)
	}
	return s, nil
}

// Name is the role's name.
func (*Service) Name() string { return "ownership" }

// Run decides on the partitions that it is told to hold until ctx ends, finishes
// the records under way and returns when everything it started has ended. It
// returns early only on an error that concerns the whole node.
func (s *Service) Run(ctx context.Context) error {
	if !s.cfg.Standby { // which does the same, and goes on
		s.replayTail(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, h := range s.holders {
		g.Go(func() error { return h.run(ctx) })
	}
	if s.cfg.Standby {
		g.Go(func() error { return s.standBy(ctx) })
	}
	if s.cfg.Barrier {
		g.Go(func() error { return s.auditLoop(ctx) })
	}
	g.Go(func() error { return s.topic.run(ctx) })
	g.Go(func() error { return s.effects.run(ctx) })
	g.Go(func() error { return s.readInput(ctx) })
	g.Go(func() error { return s.trimLoop(ctx) })
	g.Go(func() error { return s.snapshotLoop(ctx) })
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Hold makes a partition one that this node holds, from Run on and until Yield,
// claiming it again when it is lost. It does not block.
func (s *Service) Hold(p int) { s.holders[p].wish.hold() }

// Yield ends that: the record under way is finished, then nothing is decided any
// more and nobody is answered. It returns when that is so; false when the
// partition was not to be held.
func (s *Service) Yield(p int) bool {
	was := s.holders[p].wish.yield()
	s.deps.Observe.reached(PointYielded, p)
	return was
}

// Epoch is that of the partition's claim here; 0 while it is not held.
func (s *Service) Epoch(p int) uint64 {
	if st := s.holders[p].current.Load(); st.Held {
		return st.Epoch
	}
	return 0
}

// Load is how many commands wait in the partitions held here.
func (s *Service) Load() (waiting int) {
	for _, h := range s.holders {
		waiting += len(h.commands)
	}
	return waiting
}

// Statuses returns the state of each partition, by number.
func (s *Service) Statuses() []Status {
	all := make([]Status, len(s.holders))
	for i, h := range s.holders {
		all[i] = h.status()
	}
	return all
}

// RosterApplied reports whether every partition that this node holds or follows
// has logged the version, and names those that have not.
func (s *Service) RosterApplied(version uint64) (missing []int) {
	for _, h := range s.holders {
		if st := h.status(); (st.Held || s.cfg.Standby && st.Epoch > 0) && st.RosterVersion < version {
			missing = append(missing, st.Partition)
		}
	}
	return missing
}
