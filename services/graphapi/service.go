package graphapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// Config bounds what the service waits for and accepts.
type Config struct {
	// Partitions of the installation.
	Partitions int
	// AnswerWithin is how long a holder may take; past it the client gets 503.
	// AttemptWithin is how long one question waits before it is asked again
	// under the same command id; the first a quarter, the second half of it.
	AnswerWithin  time.Duration
	AttemptWithin time.Duration
	// ForwardWithin is how long after its first question an accepted send may
	// still leave for the platform.
	ForwardWithin time.Duration
	// OutcomeWithin is how long the service tries to log how a send ended
	// before it tells the client that the outcome is unknown.
	OutcomeWithin time.Duration
	// LaneWithin is how long a send waits for earlier ones of the same app on
	// the same thread; LaneDepth is how many may wait there.
	LaneWithin time.Duration
	LaneDepth  int
	// PassWithin bounds a call that is passed on to the platform, its answer
	// included, and ChallengeWithin the handshake with a new callback.
	PassWithin, ChallengeWithin time.Duration
	// RequestBytes bounds a body, UploadBytes a multipart body with a file.
	RequestBytes, UploadBytes int64
	// SpoolDir holds uploads whose fields stand behind their file; empty for
	// the system's temporary directory.
	SpoolDir string
}

// Default is the configuration of an installation with its usual bounds.
func Default(partitions int) Config {
	return Config{
		Partitions: partitions, AnswerWithin: 5 * time.Second, AttemptWithin: 500 * time.Millisecond,
		ForwardWithin: time.Duration(control.SendForwardWithin) * time.Millisecond,
		OutcomeWithin: 10 * time.Second, LaneWithin: 20 * time.Second, LaneDepth: 64,
		PassWithin: 20 * time.Second, ChallengeWithin: 10 * time.Second,
		RequestBytes: 1 << 20, UploadBytes: 32 << 20,
	}
}

// Validate lists every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	if c.Partitions < 1 {
		faults = append(faults, fmt.Errorf("graphapi: partitions is %d", c.Partitions))
	}
	for name, d := range map[string]time.Duration{
		"answer": c.AnswerWithin, "attempt": c.AttemptWithin, "forward": c.ForwardWithin, "outcome": c.OutcomeWithin, "lane": c.LaneWithin,
		"pass": c.PassWithin, "challenge": c.ChallengeWithin,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("graphapi: the time for %s is %s", name, d))
		}
	}
	if c.LaneDepth < 1 || c.RequestBytes < 1 || c.UploadBytes < 1 {
		faults = append(faults, errors.New("graphapi: a bound is not positive"))
	}
	return errors.Join(faults...)
}

// Asker reaches the holder of a partition. An error says that no answer came;
// the question may then be asked again, in a copy: the holder may still read it.
// *bus.Conn is one.
type Asker interface {
	Ask(ctx context.Context, partition int, request *commandv1.Request, within time.Duration) (*commandv1.Response, error)
}

// Sender is the way to the platform. *platform.Client is one.
type Sender interface {
	SendMessage(ctx context.Context, m platform.Message) (platform.Answer, error)
	Pass(ctx context.Context, r platform.Request) (*http.Response, error)
}

// Rosters changes the roster: edit makes the next version, and says whether it
// differs; it may be called more than once. The version is in force here, and
// durable, when Change returns.
type Rosters interface {
	Change(ctx context.Context, edit func(roster.Document) (next roster.Document, changed bool, err error)) (uint64, error)
}

// Deps are what the service works with.
type Deps struct {
	// Roster returns the version in force; nil while there is none.
	Roster   func() *roster.Snapshot
	Holder   Asker
	Platform Sender
	// PlatformURL is the platform's address, which answers that are passed on
	// show as Baton's; empty leaves them.
	PlatformURL string
	// Rosters is what the edges that change the roster need; without it they
	// answer 503.
	Rosters Rosters
	// Callbacks makes what reaches the callbacks of one app, for a handshake, as
	// its deliveries will: with the app's certificate and tokens. nil reaches
	// public addresses only, without either.
	Callbacks func(app *roster.Application) Transport
	// Limiter admits calls; nil for NewLimiter.
	Limiter Limiter
	// Observe hears of every call; its fields may be nil.
	Observe Observer
	Logger  *slog.Logger
}

// Transport sends the requests of one handshake; egress.Transport makes one.
type Transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// Observer hears what happens, for metrics. Its functions must not block.
type Observer struct {
	// Called: a call to edge was answered with an HTTP status and a Graph code,
	// zero for none. edge is one of the known edges or "other".
	Called func(edge string, status, code int, took time.Duration)
	// Forwarded: a send ended: confirmed, refused, unknown or abandoned.
	Forwarded func(outcome string, took time.Duration)
}

// Service answers Graph calls. It is an http.Handler, safe for concurrent use;
// every goroutine that it starts ends with its call.
type Service struct {
	config  Config
	deps    Deps
	logger  *slog.Logger
	limiter Limiter
	lanes   *lanes
	tenures *tenures
	menus   *menuLimit
	spools  chan struct{}
	routes  map[string]map[string]route
	unbound map[string]handler
}

// New makes a service. The error is Config.Validate's.
func New(c Config, d Deps) (*Service, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		config: c, deps: d, logger: d.Logger, limiter: d.Limiter,
		lanes: newLanes(c.LaneDepth), tenures: newTenures(c.Partitions), menus: newMenuLimit(), routes: routes(), unbound: unbound(), spools: make(chan struct{}, maxSpools),
	}
	if s.deps.Callbacks == nil {
		s.deps.Callbacks = func(*roster.Application) Transport { return egress.Transport(egress.Policy{}) }
	}
	if s.limiter == nil {
		s.limiter = NewLimiter()
	}
	return s, nil
}

// ServeHTTP answers one request: a call, or a batch of calls.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := s.read(w, r)
	if c.release != nil {
		defer c.release()
	}
	switch {
	case err != nil:
		s.fail(c, err).write(w)
	case c.path.IsRoot():
		s.batch(r.Context(), c).write(w)
	default:
		s.handle(r.Context(), c).write(w)
	}
}

// handle answers one call.
func (s *Service) handle(ctx context.Context, c *call) reply {
	started := time.Now()
	answer, err := s.route(ctx, c)
	if err != nil {
		answer = s.fail(c, err)
	}
	c.usage.set(&answer)
	if s.deps.Observe.Called != nil {
		s.deps.Observe.Called(s.edgeName(c), answer.status, answer.code, time.Since(started))
	}
	return answer
}

// fail is the reply that carries an error.
func (s *Service) fail(c *call, err error) reply {
	e := graph.AsError(err)
	if e.Code == graph.CodeUnknown {
		s.logger.Error("call failed", "edge", c.path.Edge, "trace_id", c.trace.String(), "err", err)
	}
	if c.caller != nil && c.caller.Asset.Object == control.ObjectInstagram {
		e = e.OnInstagram()
	}
	return failure(e.Traced(c.trace.String()))
}
