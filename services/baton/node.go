package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/deadletter"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/console"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/graphapi"
	"github.com/baton-router/baton/services/ingress"
	"github.com/baton-router/baton/services/ownership"
	"github.com/baton-router/baton/services/simulator"
)

// Version is the version of the binary. A release sets it when it is linked:
// -X main.Version=1.2.3 (see VERSION in the Makefile).
//
//nolint:gochecknoglobals // the linker sets variables only
var Version = "0.1.0-dev"

// node is one running Baton: what the roles share, and the roles. It is built
// in the order of the fields; the role table in roles.go builds the roles.
type node struct {
	cfg     roster.Config
	log     *slog.Logger
	metrics *telemetry.Metrics
	health  *lifecycle.Health
	trace   ownership.Observer

	onDelivery func(fanout.Finished)
	roles      []string // to run; none means all

	name     string
	lock     *embedded.Lock   // of the data directory
	server   *embedded.Server // nil with a NATS URL
	bus      *bus.Conn
	identity bus.Identity
	rosters  *rosterFeed
	store    *store.Store
	public   net.Listener
	admin    net.Listener
	clock    *nodeClock
	platform *platform.Client

	simulator *simulator.Service
	ownership *ownership.Service
	decides   bool // the role ownership runs here; else only its standby
	assigned  assignments
	ingress   *ingress.Service
	graphapi  *graphapi.Service
	fanout    *fanout.Service
	console   *console.Service
	letters   *deadletter.Keeper
	census    *deadletter.Census // of measure's goroutine
	journal   *journal
	repairs   *repairBook
	extra     []lifecycle.Service // demo apps and the like
	nudged    chan struct{}       // the partitions' conditions have changed
	closers   []func() error      // what open opened, to close in reverse
	decided   uint64              // newest input decided here; measure's own
	began     time.Time           // to open
	asUsual   func()              // called when the start is over; nil for nothing
}

// nodeOptions are what a configuration file does not say.
type nodeOptions struct {
	// roles to run; none means all.
	roles []string
	// trace listens to the holders' points; crash tests stop the process there.
	trace ownership.Observer
	// onDelivery is told of every finished delivery; nil for nobody.
	onDelivery func(fanout.Finished)
}

// openNode opens everything that the roles share and builds the roles. On an
// error everything is closed again.
func openNode(ctx context.Context, cfg roster.Config, log *slog.Logger, o nodeOptions) (n *node, err error) {
	n = &node{
		cfg: cfg, log: log, metrics: telemetry.NewMetrics(Version), health: new(lifecycle.Health),
		trace: o.trace, onDelivery: o.onDelivery, roles: o.roles, nudged: make(chan struct{}, 1), began: time.Now(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
			n = nil
		}
	}()
	for _, open := range []func(context.Context) error{
		n.openDataDir, n.openBusAndStore, n.openJournal, n.openListeners, n.openPlatform,
	} {
		if err := open(ctx); err != nil {
			return n, err
		}
	}
	return n, n.buildRoles(o.roles)
}

// onClose adds what is to be closed at the end.
func (n *node) onClose(f func() error) { n.closers = append(n.closers, f) }

// close closes what was opened, the last first.
func (n *node) close() error {
	var faults []error
	for _, v := range slices.Backward(n.closers) {
		faults = append(faults, v())
	}
	n.closers = nil
	return errors.Join(faults...)
}

// openDataDir makes the data directory and locks it.
func (n *node) openDataDir(context.Context) error {
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if err := n.openName(); err != nil {
		return err
	}
	n.repairs = newRepairBook(n.cfg.DataDir, n.name)
	lock, err := embedded.LockDir(n.cfg.DataDir)
	if err != nil {
		return err
	}
	n.lock = lock
	n.onClose(lock.Release)
	return nil
}

// openRoster reads the roster and applies the configuration file, if it is not
// the one applied last.
func (n *node) openRoster(ctx context.Context) error { return n.patiently(ctx, n.readRoster) }

func (n *node) readRoster(ctx context.Context) (err error) {
	if n.rosters, err = openRoster(ctx, n.bus, n.log); err != nil {
		return err
	}
	_, err = n.rosters.Change(ctx, func(old roster.Document) (roster.Document, bool, error) {
		next, applied := roster.FromConfig(n.cfg, old)
		if applied {
			n.log.Info("configuration applied", "changes", len(roster.Compare(old, next)))
		}
		return next, applied, nil
	})
	return err
}

// storeOptions is the node's store, and what is told of it.
func (n *node) storeOptions() store.Options {
	return store.Options{
		Dir: filepath.Join(n.cfg.DataDir, "store"), Logger: n.log, CompactLater: true,
		Watch: store.Watch{
			Damaged: func(err error) { // what it concerns halts when it is read
				n.metrics.StoreDamaged.Inc()
				n.health.Set("store", lifecycle.Degraded, "damaged: "+err.Error())
			},
			Failing: func(err error) { n.health.Set("store", lifecycle.Degraded, err.Error()) },
			Slow: func(operation string, took time.Duration) {
				n.log.Warn("slow disk", "operation", operation, "took", took)
			},
			Stalled: func(stalled bool, reason string) {
				if stalled {
					n.health.Set("store", lifecycle.Degraded, "writes stand still: "+reason)
				} else {
					n.health.Clear("store")
				}
			},
		},
	}
}

func (n *node) openListeners(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if n.public, err = lc.Listen(ctx, "tcp", n.cfg.Listen.Public); err != nil {
		return fmt.Errorf("public listener: %w", err)
	}
	n.onClose(ignoreClosed(n.public.Close))
	if n.admin, err = lc.Listen(ctx, "tcp", n.cfg.Listen.Admin); err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	n.onClose(ignoreClosed(n.admin.Close))
	return nil
}

// ignoreClosed closes what a server may have closed already.
func ignoreClosed(f func() error) func() error {
	return func() error {
		if err := f(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// openPlatform prepares the client towards the platform, and the simulator when
// that is the platform.
func (n *node) openPlatform(context.Context) (err error) {
	p := n.cfg.Platform
	base := p.GraphURL
	if base == roster.Simulator {
		if n.simulator, err = newSimulator(n); err != nil {
			return err
		}
		n.onClose(ignoreClosed(n.simulator.Close))
		base = n.simulator.URL()
	}
	n.clock = newClock(n.simulator)
	n.platform, err = newPlatform(p, base)
	if err == nil {
		n.onClose(func() error { n.platform.Close(); return nil })
	}
	return err
}

// newPlatform is the client of the platform at an address.
func newPlatform(p roster.Platform, base string) (*platform.Client, error) {
	return platform.New(platform.Config{
		BaseURL: base, Version: p.Version, AppSecret: p.AppSecret.Value(), Timeout: time.Duration(p.Timeout),
	})
}

// publicURL is where apps and the platform reach Baton on this machine.
func (n *node) publicURL() string { return scheme(n.cfg) + "://" + n.public.Addr().String() }

func (n *node) adminURL() string { return scheme(n.cfg) + "://" + n.admin.Addr().String() }

func scheme(c roster.Config) string {
	if c.Listen.TLS.Cert != "" {
		return "https"
	}
	return "http"
}

// run runs the roles until ctx ends, stops them in reverse order, and closes
// everything.
func (n *node) run(ctx context.Context) error {
	if err := n.assign(); err != nil {
		return errors.Join(err, n.close())
	}
	group := lifecycle.NewGroup(n.log)
	group.Add(n.services()...)
	err := group.Run(ctx)
	return errors.Join(err, n.close())
}

// serverTLS reads a server's certificate; nil without one.
func serverTLS(cert, key, clientCA string) (*tls.Config, error) {
	if cert == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if clientCA == "" {
		return c, nil
	}
	if c.ClientCAs, err = readCertificates(clientCA); err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c, nil
}
