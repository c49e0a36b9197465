package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/ingress"
)

// serveCommand runs Baton with a configuration.
type serveCommand struct {
	Config    string            `help:"Configuration file." default:"baton.yaml" placeholder:"FILE"`
	Roles     []string          `help:"Only these roles." placeholder:"ROLE,…"`
	Set       map[string]string `help:"Override a setting, for example listen.public=127.0.0.1:9000." placeholder:"KEY=VALUE"`
	LogLevel  string            `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogFormat string            `help:"text or json." default:"text" enum:"text,json"`
}

func (c *serveCommand) Run(ctx context.Context, s *streams) error {
	log, err := telemetry.NewLogger(s.err, c.LogFormat, c.LogLevel)
	if err != nil {
		return usage("%w", err)
	}
	if err := knownRoles(c.Roles); err != nil {
		return err
	}
	cfg, err := loadConfig(c.Config, c.Set, false)
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
	asUsual := collectLater()
	n, err := openNode(ctx, cfg, log, nodeOptions{roles: c.Roles})
	if err != nil {
		return openFailure(err)
	}
	n.asUsual = asUsual
	if n.server != nil && n.cfg.Durability != roster.DurabilityDev {
		processorForSync()
	}
	n.announce()
	return n.run(ctx)
}

// processorForSync gives the Go scheduler one processor more than the machine
// has, unless GOMAXPROCS says how many. An fsync of the server in this process
// keeps its processor until the runtime takes it away, which may take as long as
// the fsync; on a machine of few cores the decisions would stand still meanwhile.
//
//nolint:gochecknoglobals // of the process, as what it sets
var processorForSync = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
})

// announce logs what an operator wants to know at the start.
func (n *node) announce() {
	nats := n.cfg.NATS.URL
	if n.server != nil {
		if nats = n.server.URL(); nats == "" {
			nats = "in process"
		}
	}
	n.log.Info("baton is up", "version", Version, "durability", string(n.cfg.Durability), "partitions", n.cfg.Partitions,
		"public", n.publicURL(), "admin", n.adminURL(), "nats", nats, "data_dir", n.cfg.DataDir,
		"roster_version", n.rosters.Current().Version())
}

// openFailure says whether a failed start is the operator's to mend.
func openFailure(err error) error {
	if errors.Is(err, store.ErrNewerFormat) {
		err = fmt.Errorf("%w: start the Baton version that wrote it, or a newer one, or choose another data_dir", err)
	}
	if store.IsDamaged(err) {
		err = fmt.Errorf("%w: baton doctor --repair --config FILE moves the store aside, and the next start rebuilds it from the log", err)
	}
	for _, mine := range []error{
		embedded.ErrInvalid, embedded.ErrLocked, bus.ErrPartitionCount, bus.ErrNewerFormat, bus.ErrOlderFormat, bus.ErrForeignStream, bus.ErrBundled,
		bus.ErrStreamDiffers, bus.ErrStreamMissing, bus.ErrServer, store.ErrNewerFormat, store.ErrInUse, roster.ErrNewerFormat, roster.ErrDocument,
	} {
		if errors.Is(err, mine) {
			return codedError{exitUsage, err}
		}
	}
	return err
}

// stopListening bounds the wait for public requests under way at the end. It is
// shorter than the time a service is given to stop: a connection on which no
// request has come yet counts as busy for five seconds.
const stopListening = 2500 * time.Millisecond

// servePublic serves the public listener: webhooks at /webhook, the Graph API
// everywhere else.
func (n *node) servePublic(ctx context.Context) error {
	mux := http.NewServeMux()
	if n.ingress != nil {
		mux.Handle("/webhook", n.ingress)
	}
	if n.graphapi != nil {
		mux.Handle("/", n.graphapi)
	}
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	config, err := serverTLS(n.cfg.Listen.TLS.Cert, n.cfg.Listen.TLS.Key, n.cfg.Listen.TLS.ClientCA)
	if err != nil {
		return err
	}
	server.TLSConfig = config
	return lifecycle.ServeHTTP(ctx, server, lifecycle.Quiet(server, n.public), stopListening)
}

func (n *node) ingressConfig() ingress.Config {
	return ingress.Config{Partitions: n.cfg.Partitions, MaxBodyBytes: int(n.cfg.Limits.WebhookBytes)}
}

func (n *node) ingressDeps() ingress.Deps {
	return ingress.Deps{
		Publisher:   n.bus,
		KnowsPage:   func(asset uint64) bool { return n.rosters.Current().Page(asset) != nil },
		Secrets:     func() [][]byte { return [][]byte{[]byte(n.cfg.Platform.AppSecret.Value())} },
		VerifyToken: func() string { return n.cfg.Platform.VerifyToken.Value() },
		Now:         func() time.Time { return n.clock.Now().Add(n.clock.Offset()) },
		Logger:      n.log.With("role", "ingress"),
		Observer:    n.observeIngress(),
	}
}

// versionCommand prints the version.
type versionCommand struct{}

func (versionCommand) Run(s *streams) error {
	_, err := fmt.Fprintln(s.out, "baton "+Version)
	return err
}
