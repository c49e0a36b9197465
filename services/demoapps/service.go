package demoapps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle"
)

// shutdownWithin bounds the end of webhooks under way at a stop.
const shutdownWithin = 5 * time.Second

// Config is what the demo apps are told at start.
type Config struct {
	// GraphURL is the base URL of the Graph API, without a version.
	GraphURL string
	// Listen is the host:port that each app's webhook binds to; "" means
	// 127.0.0.1:0, and only port 0 serves three apps.
	Listen string
	// Roster are the apps with their secrets.
	Roster Roster
	// ReleaseAfter is how long live-agent stays on the line after goodbye;
	// zero means one second.
	ReleaseAfter time.Duration
}

// Deps is what the demo apps use of their surroundings.
type Deps struct {
	// Logger is required.
	Logger *slog.Logger
	// OnDelivery is told of every event an app receives, before the app acts
	// on it; repeats are left out. Calls for one app come one after the other,
	// those of different apps at the same time. It must not block for long.
	// Nil for nobody.
	OnDelivery func(Delivery)
}

// Validate lists every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if u, err := url.Parse(c.GraphURL); err != nil || u.Host == "" {
		faults = append(faults, fmt.Errorf("demoapps: Graph URL %q is not an absolute URL", c.GraphURL))
	}
	if c.ReleaseAfter < 0 {
		faults = append(faults, errors.New("demoapps: release after cannot be negative"))
	}
	for _, a := range c.Roster.Apps {
		if a.ID == 0 || a.Secret == "" || a.VerifyToken == "" || a.AccessToken == "" {
			faults = append(faults, fmt.Errorf("demoapps: app %d (%s) needs an id and all three secrets", a.ID, a.Name))
		}
	}
	for _, id := range []uint64{FAQBot, LiveAgent, Survey} {
		if c.Roster.find(id) == nil {
			faults = append(faults, fmt.Errorf("demoapps: app %d is missing in the roster", id))
		}
	}
	return errors.Join(faults...)
}

func (r *Roster) find(id uint64) *App {
	for i := range r.Apps {
		if r.Apps[i].ID == id {
			return &r.Apps[i]
		}
	}
	return nil
}

// Service runs the three apps.
type Service struct {
	apps      []*app
	clients   map[uint64]*graphClient
	transport *http.Transport
}

// New binds a listener for each app, so that its callback URL is known; nothing
// is served before Run. It returns every fault of the configuration at once, or
// what went wrong with a listener.
func New(config Config, deps Deps) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		return nil, errors.New("demoapps: a logger is needed")
	}
	if config.ReleaseAfter == 0 {
		config.ReleaseAfter = time.Second
	}
	if config.Listen == "" {
		config.Listen = "127.0.0.1:0"
	}
	if deps.OnDelivery == nil {
		deps.OnDelivery = func(Delivery) {}
	}
	s := &Service{clients: map[uint64]*graphClient{}, transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	for _, id := range []uint64{FAQBot, LiveAgent, Survey} {
		if err := s.add(config, deps, *config.Roster.find(id)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func (s *Service) add(config Config, deps Deps, identity App) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("demoapps: webhook of %s: %w", identity.Name, err)
	}
	graph := &graphClient{
		base: strings.TrimRight(config.GraphURL, "/"), secret: identity.Secret, token: identity.AccessToken,
		http: &http.Client{Transport: s.transport},
	}
	s.clients[identity.ID] = graph
	s.apps = append(s.apps, &app{
		App: identity, listener: listener, queue: make(chan received, queueLength), behave: behaviourOf(identity.ID, graph, config),
		seen: map[string]mark{}, tell: deps.OnDelivery, logger: deps.Logger,
	})
	return nil
}

func behaviourOf(id uint64, graph *graphClient, config Config) behaviour {
	switch id {
	case LiveAgent:
		return &liveAgent{graph: graph, releaseAfter: config.ReleaseAfter}
	case Survey:
		return &survey{graph: graph}
	default:
		return &faqBot{graph: graph, misses: map[string]int{}}
	}
}

// CallbackURL is where an app takes webhooks, "" for an unknown app.
func (s *Service) CallbackURL(id uint64) string {
	for _, a := range s.apps {
		if a.ID == id {
			return "http://" + a.listener.Addr().String() + "/webhook"
		}
	}
	return ""
}

// Send makes an app send a text out of turn, whether it has control or not: what
// a bot with a bug, or a demonstration, does. It returns the message's id; a
// refusal is a *GraphError. It blocks until the call is answered.
func (s *Service) Send(ctx context.Context, id, person uint64, text string) (string, error) {
	graph := s.clients[id]
	if graph == nil {
		return "", fmt.Errorf("demoapps: no app %d", id)
	}
	return graph.say(ctx, strconv.FormatUint(person, 10), text)
}

// Run serves the webhooks and lets the apps act. It blocks until ctx ends or a
// listener fails, and returns when all that it started has ended; events still
// queued are dropped. A Service runs once.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.transport.CloseIdleConnections()
	errs := make([]error, len(s.apps))
	var wg sync.WaitGroup
	for i, a := range s.apps {
		wg.Go(func() { a.work(ctx) })
		wg.Go(func() {
			defer cancel()
			errs[i] = a.serve(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close gives the listeners back when Run is never called.
func (s *Service) Close() error {
	var errs []error
	for _, a := range s.apps {
		errs = append(errs, a.listener.Close())
	}
	return errors.Join(errs...)
}

// serve runs an app's listener until ctx ends.
func (a *app) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/webhook", a)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelWarn),
	}
	if err := lifecycle.ServeHTTP(ctx, server, a.listener, shutdownWithin); err != nil {
		return fmt.Errorf("demoapps: webhook of %s: %w", a.Name, err)
	}
	return nil
}
