package simulator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/lifecycle"
)

const (
	// saveEvery is how long changes are collected before they are written.
	saveEvery = 200 * time.Millisecond
	// shutdownWithin bounds the end of Graph calls under way at a stop. It is
	// shorter than the time a service is given to stop: a connection on which
	// no request has come yet counts as busy for five seconds.
	shutdownWithin = 2500 * time.Millisecond
)

// Service is the simulator. Its methods are safe for concurrent use. What
// people do before Run is called waits, and is pushed once it runs.
type Service struct {
	config   Config
	logger   *slog.Logger
	client   *http.Client
	clock    func() time.Time
	pages    func() []Page
	listener net.Listener // nil without Config.Listen
	file     *stateFile
	offset   atomic.Int64 // nanoseconds; changed under mu
	// kick wakes the dispatcher, dirty the writer of the state file.
	kick, dirty chan struct{}
	// stopping is closed when Run ends.
	stopping chan struct{}
	inFlight chan struct{} // one place per webhook under way

	// mu guards everything below. Under it nothing waits for the network.
	mu         sync.Mutex
	threads    map[control.ThreadKey]*thread
	turns      uint64
	version    uint64    // of the latest snapshot
	waiting    int       // webhooks pending over all threads
	woken      []*thread // with webhooks to push and nobody who does
	transcript transcript
	faults     map[uint64]Switches
	profiles   profiles
	fields     subscriptions
	lists      lists
	ids        idSource
	jumped     chan struct{} // closed when the clock moves
}

// New reads the state file of an earlier run and, with Config.Listen, binds the
// Graph listener; nothing is served or pushed before Run. It returns every
// fault of the configuration at once, ErrNewerFormat, or what went wrong with
// the file or the listener.
func New(config Config, deps Deps) (*Service, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if deps.Logger == nil {
		return nil, errors.New("simulator: a logger is needed")
	}
	s := &Service{
		config: config.withDefaults(), logger: deps.Logger, client: deps.Client, clock: deps.Clock,
		file: &stateFile{path: filepath.Join(config.DataDir, fileName)},
		kick: make(chan struct{}, 1), dirty: make(chan struct{}, 1), stopping: make(chan struct{}),
		threads: map[control.ThreadKey]*thread{}, faults: map[uint64]Switches{}, lists: newLists(), transcript: newTranscript(), jumped: make(chan struct{}),
	}
	s.inFlight = make(chan struct{}, s.config.MaxInFlight)
	if s.pages = deps.Pages; s.pages == nil {
		s.pages = func() []Page { return s.config.Pages }
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	st, err := s.file.load()
	if err != nil {
		return nil, err
	}
	s.restore(st)
	if config.Listen != "" {
		if s.listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", config.Listen); err != nil {
			return nil, fmt.Errorf("simulator: Graph listener: %w", err)
		}
	}
	return s, nil
}

// URL is the base URL of the Graph listener, "" without one.
func (s *Service) URL() string {
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// Run pushes webhooks, keeps the state file and serves the Graph listener. It
// blocks until ctx ends or the listener fails, lets calls under way finish for
// at most 2.5 s, writes the state, webhooks not yet accepted included,
// and returns when all that it started has ended. A Service runs once.
func (s *Service) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	client := s.client
	if client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: s.config.MaxInFlight}
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	var wg sync.WaitGroup
	var served error
	wg.Go(func() { s.dispatch(ctx, client) })
	wg.Go(func() { s.keep(ctx) })
	wg.Go(func() {
		defer cancel()
		served = s.serve(ctx)
	})
	<-ctx.Done()
	close(s.stopping)
	cancel()
	wg.Wait()
	return errors.Join(served, s.saveNow())
}

// Close gives the listener back when Run is never called.
func (s *Service) Close() error {
	if s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// serve runs the Graph listener until ctx ends.
func (s *Service) serve(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	if err := lifecycle.ServeHTTP(ctx, server, s.listener, shutdownWithin); err != nil {
		return fmt.Errorf("simulator: Graph listener: %w", err)
	}
	return nil
}

// keep writes the state file soon after each change.
func (s *Service) keep(ctx context.Context) {
	for {
		select {
		case <-s.dirty:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(saveEvery):
		case <-ctx.Done():
			return
		}
		if err := s.saveNow(); err != nil {
			s.logger.Error("simulator state not written", "err", err)
			s.changed()
		}
	}
}

// changed asks for the state to be written; it never waits.
func (s *Service) changed() { signal(s.dirty) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *Service) pageByID(id uint64) *Page {
	pages := s.pages()
	for i := range pages {
		if pages[i].ID == id {
			return &pages[i]
		}
	}
	return nil
}
