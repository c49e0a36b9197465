package console

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

// Bus is what the console asks of the streams. Implemented by *bus.Conn.
type Bus interface {
	Ask(ctx context.Context, p int, request *commandv1.Request, within time.Duration) (*commandv1.Response, error)
	ReadLog(ctx context.Context, o bus.ReadOptions, fn func(bus.Message) error) error
	LastLog(ctx context.Context, p int) (bus.Message, error)
	ReadControl(ctx context.Context, page uint64, fn func(subject string, m bus.Message) error) error
}

// Rosters is the roster and its changes.
type Rosters interface {
	Current() *roster.Snapshot
	// Change edits the newest roster and stores the result.
	Change(ctx context.Context, edit func(roster.Document) (next roster.Document, changed bool, err error)) (version uint64, err error)
}

// Apps shows and steers deliveries, on whatever node they are made.
type Apps interface {
	// Show is the delivery state of an app, or of all with 0, and the
	// partitions that no node answered for. The error says that none did.
	Show(ctx context.Context, app control.AppID) (states map[control.AppID]AppStatus, missing []int, err error)
	// Steer has an order carried out; durable on return. Its errors carry
	// Connect codes.
	Steer(ctx context.Context, o Order) error
}

// Order is what an operator wants done with an app's deliveries.
type Order struct {
	Verb      string // pause, resume, rewind, skip, replay, resend
	App       control.AppID
	Partition int // negative for all
	Position  control.Position
	From      time.Time          // zero for none
	Positions []control.Position // of dead letters (resend)
}

// AppStatus is the state of an app's deliveries.
type AppStatus struct {
	State                                    string // waiting, active, paused, failing
	Reason                                   string
	Lag                                      uint64        // undelivered positions
	Age                                      time.Duration // of the oldest undelivered one
	Parked, Blocked, InFlight, Slots, Queued int
	Breaker                                  string
	Places                                   []AppPlace
}

// AppPlace is where an app stands in a partition.
type AppPlace struct {
	Partition                          int
	Node                               string
	Watermark, Read, Head, ReplayUntil control.Position
	Undelivered                        int
	Age                                time.Duration
}

// Node describes the node to operators.
type Node struct {
	Version    string
	Durability string
	PublicURL  string
	Partitions int
	// Halted lists partitions that take no work, with the reason.
	Halted func() []string
	// Held counts the partitions held here.
	Held func() int
	// Threads counts the threads known here.
	Threads func() uint64
	// Delivering names the other nodes that deliver; nil where there can be none.
	Delivering func(ctx context.Context) []string
	// Missing names the partitions held here that have not logged a roster
	// version yet.
	Missing func(version uint64) []int
}

// Mount is a handler of another role of the program on the admin listener, for
// callers of a Role and above.
type Mount struct {
	Path    string
	Handler http.Handler
	Role    Role
}

// Config of the role.
type Config struct {
	// Tokens of operators; none means that the listener must be loopback.
	Tokens []Token
	// TLS of the listener; nil for none.
	TLS *tls.Config
}

// Deps are the role's surroundings.
type Deps struct {
	Bus     Bus
	Store   *store.Store
	Rosters Rosters
	Apps    Apps
	Letters Letters
	// Streams are what a backup is taken of.
	Streams backup.Source
	// Deliveries is this node's delivery log.
	Deliveries DeliveryLog
	Node       Node
	// Doctor looks for what is missing, here and on the platform.
	Doctor func(ctx context.Context) *adminv1.DoctorResponse
	// Repair takes halted partitions back to work, for somebody; nil when
	// nobody can.
	Repair func(ctx context.Context, who string, r *adminv1.RepairRequest) (*adminv1.RepairResponse, error)
	// CatchUp brings the store up to the end of a partition's log where another
	// node writes it; nil when none can.
	CatchUp func(ctx context.Context, partition int) error
	Health  http.Handler // /healthz
	Ready   http.Handler // /readyz
	Metrics http.Handler
	Mounts  []Mount
	// Refused is called for each call without the right to make it.
	Refused func()
	Logger  *slog.Logger
}

// Service serves the admin listener.
type Service struct {
	cfg    Config
	deps   Deps
	parts  []*store.Partition
	ln     net.Listener
	server *http.Server
	adminv1connect.UnimplementedAdminServiceHandler
}

// New prepares the role on a listener, which it owns from then on. The address
// must be loopback unless there are tokens.
func New(cfg Config, deps Deps, ln net.Listener) (*Service, error) {
	rules, err := newAccess(ln.Addr(), cfg.Tokens)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, deps: deps, ln: ln}
	for p := range deps.Node.Partitions {
		part, err := deps.Store.Partition(p)
		if part == nil {
			return nil, err // damage is the holder's to report
		}
		s.parts = append(s.parts, part)
	}
	s.server = &http.Server{
		Handler:           rules.guard(s.mux(), deps.Refused),
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(deps.Logger.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// maxRequest bounds a request: the largest is a roster.
const maxRequest = roster.MaxDocumentBytes + 1<<20

func (s *Service) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(s, connect.WithReadMaxBytes(maxRequest)))
	mux.Handle("GET /healthz", s.deps.Health)
	mux.Handle("GET /readyz", s.deps.Ready)
	mux.Handle("GET /metrics", s.deps.Metrics)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.Handle("/debug/pprof/block", newWaiting("block"))
	mux.Handle("/debug/pprof/mutex", newWaiting("mutex"))
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	for _, m := range s.deps.Mounts {
		mux.Handle(m.Path, only(m.Role, m.Handler))
	}
	return mux
}

// Name is the role's name.
func (*Service) Name() string { return "console" }

// Addr is where the listener stands.
func (s *Service) Addr() net.Addr { return s.ln.Addr() }

// stopWithin bounds the wait for requests under way at the end.
const stopWithin = 3 * time.Second

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	return lifecycle.ServeHTTP(ctx, s.server, s.ln, stopWithin)
}

// Status describes the node.
func (s *Service) Status(ctx context.Context, _ *connect.Request[adminv1.StatusRequest]) (*connect.Response[adminv1.StatusResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	n := s.deps.Node
	return connect.NewResponse(&adminv1.StatusResponse{
		Version: n.Version, Durability: n.Durability, Partitions: uint32(n.Partitions), Held: uint32(n.Held()),
		Halted: n.Halted(), RosterVersion: s.deps.Rosters.Current().Version(), Threads: n.Threads(), PublicUrl: n.PublicURL,
	}), nil
}

// part is a partition of the store.
func (s *Service) part(p int) *store.Partition { return s.parts[p] }

// fresh returns a partition of the store with everything that its log holds now.
func (s *Service) fresh(ctx context.Context, p int) (*store.Partition, error) {
	if s.deps.CatchUp != nil {
		if err := s.deps.CatchUp(ctx, p); err != nil {
			return nil, fmt.Errorf("partition %d is not up to date here: %w", p, err)
		}
	}
	return s.parts[p], nil
}

// newest is fresh for answers that are of use although a partition cannot be
// brought up to date: then it is as this node knows it.
func (s *Service) newest(ctx context.Context, p int) *store.Partition {
	if part, err := s.fresh(ctx, p); err == nil {
		return part
	}
	return s.parts[p]
}

func (s *Service) names() names { return names{s.deps.Rosters.Current()} }

// entry is an event of the log as operators read it.
func (s *Service) entry(rec *eventlog.Record, p control.Position) (*adminv1.LogEntry, error) {
	e, _ := rec.At(p)
	full, err := eventlog.EntryJSON(&e)
	if err != nil {
		return nil, err
	}
	return &adminv1.LogEntry{
		Partition: rec.Partition, Position: uint64(p), DecidedAt: stamp(rec.DecidedAt), Thread: threadName(e.Thread),
		Kind: control.Name(e.Event), Text: s.names().event(e.Event), Cause: causeOf(e), EventJson: string(full),
	}, nil
}
