package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/demoapps"
	"github.com/baton-router/baton/services/simulator"
)

// devCommand starts everything on this machine.
type devCommand struct {
	DataDir  string `help:"Where state is kept." default:"./data" placeholder:"DIR"`
	LogLevel string `help:"debug, info, warn or error." default:"warn" enum:"debug,info,warn,error"`
}

func (c *devCommand) Run(ctx context.Context, s *streams) error {
	d, err := startDev(ctx, devOptions{dataDir: c.DataDir, logLevel: c.LogLevel, errors: s.err, say: func(format string, args ...any) {
		_, _ = fmt.Fprintf(s.out, format+"\n", args...)
	}})
	if err != nil {
		return openFailure(err)
	}
	return d.run(ctx)
}

// run runs the installation until ctx ends, and says when it is up.
func (d *devNode) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- d.node.run(ctx) }()
	up := make(chan struct{})
	go func() {
		defer close(up)
		if err := d.ready(ctx); err != nil && ctx.Err() == nil {
			d.say("not ready yet: %v; see %s/readyz", err, d.node.adminURL())
		}
	}()
	select {
	case err := <-ended: // before it was up
		stop()
		<-up
		return err
	case <-up:
	}
	if ctx.Err() == nil {
		d.welcome()
	}
	err := <-ended
	d.say("stopped; what was said is kept in %s", d.cfg.DataDir)
	return err
}

// devOptions say how a development installation runs.
type devOptions struct {
	dataDir  string
	logLevel string
	errors   io.Writer
	// quiet leaves the lines about deliveries to onDelivery.
	quiet bool
	// freePorts takes any free ports instead of the usual ones.
	freePorts bool
	// say prints a line for the person at the terminal.
	say func(format string, args ...any)
	// onDelivery is told of every delivery that a demo app received, nil for
	// nobody.
	onDelivery func(demoapps.Delivery)
}

// devNode is a Baton with the simulator as platform and the demo apps.
type devNode struct {
	node *node
	apps *demoapps.Service
	cfg  roster.Config
	file string
	say  func(format string, args ...any)
}

// startDev prepares a development installation in a data directory. Its
// configuration is an ordinary file there, written anew at each start.
func startDev(ctx context.Context, o devOptions) (*devNode, error) {
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	log, err := telemetry.NewLogger(o.errors, "text", o.logLevel)
	if err != nil {
		return nil, err
	}
	o.say("baton %s: a router, a simulated platform and three demo apps on this machine", Version)
	for try := 1; ; try++ {
		d, err := openDev(ctx, o, log)
		if !errors.Is(err, syscall.EADDRINUSE) || try == portTries {
			return d, err
		}
	}
}

// openDev is one try: another program may take a port between the look and the use.
func openDev(ctx context.Context, o devOptions, log logger) (*devNode, error) {
	ports, err := devPorts(ctx, o)
	if err != nil {
		return nil, err
	}
	apps, err := startDemoApps(o, "http://"+ports.public, log)
	if err != nil {
		return nil, err
	}
	d := &devNode{apps: apps, file: filepath.Join(o.dataDir, "dev.yaml"), say: o.say}
	if err := d.configure(o, ports); err != nil {
		return nil, errors.Join(err, apps.Close())
	}
	o.say("starting: embedded NATS with JetStream, the store, %d partitions (durability %s)", d.cfg.Partitions, d.cfg.Durability)
	if d.node, err = openNode(ctx, d.cfg, log, nodeOptions{}); err != nil {
		return nil, errors.Join(err, apps.Close())
	}
	d.node.extra = append(d.node.extra, lifecycle.Func("demo apps", apps.Run))
	return d, nil
}

// startDemoApps binds the demo apps' webhooks.
func startDemoApps(o devOptions, graphURL string, log logger) (*demoapps.Service, error) {
	demo, err := demoapps.DevRoster(o.dataDir)
	if err != nil {
		return nil, err
	}
	return demoapps.New(demoapps.Config{GraphURL: graphURL, Roster: demo}, demoapps.Deps{
		Logger: log,
		OnDelivery: func(d demoapps.Delivery) {
			if !o.quiet {
				o.say("%s", d)
			}
			if o.onDelivery != nil {
				o.onDelivery(d)
			}
		},
	})
}

// addresses of the three listeners.
type addresses struct{ public, admin, nats string }

// wanted is a listener with its usual port.
type wanted struct {
	port int
	what string
	into *string
}

// devPorts picks the usual ports and, where they are taken, the next free ones.
// Each is held until all are picked, so that no two are the same; first those
// that are free, so that none gives way to its neighbour.
func devPorts(ctx context.Context, o devOptions) (a addresses, err error) {
	var moved []wanted
	for _, w := range []wanted{{8080, "webhooks and Graph API", &a.public}, {8081, "admin", &a.admin}, {4222, "NATS", &a.nats}} {
		port := w.port
		if o.freePorts {
			port = 0
		}
		ln, err := listenAt(ctx, port)
		if errors.Is(err, syscall.EADDRINUSE) {
			moved = append(moved, w)
			continue
		}
		if err != nil {
			return a, fmt.Errorf("%s: %w", w.what, err)
		}
		defer func() { _ = ln.Close() }()
		*w.into = ln.Addr().String()
	}
	for _, w := range moved {
		ln, err := listenAfter(ctx, w.port)
		if err != nil {
			return a, fmt.Errorf("%s: %w", w.what, err)
		}
		defer func() { _ = ln.Close() }()
		*w.into = ln.Addr().String()
		o.say("port %d is taken, %s is on %s", w.port, w.what, *w.into)
	}
	return a, nil
}

// listenAt listens on a loopback port; 0 takes any.
func listenAt(ctx context.Context, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
}

// portTries bounds how far the search for a free port goes.
const portTries = 50

// listenAfter listens on the next free port.
func listenAfter(ctx context.Context, port int) (net.Listener, error) {
	for next := port + 1; next <= port+portTries; next++ {
		ln, err := listenAt(ctx, next)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return ln, err
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d", port, port+portTries)
}

// configure writes the configuration file and loads it as serve would.
func (d *devNode) configure(o devOptions, ports addresses) error {
	sim, err := simulator.DevRoster(o.dataDir)
	if err != nil {
		return err
	}
	demo, err := demoapps.DevRoster(o.dataDir)
	if err != nil {
		return err
	}
	text := devConfig(o.dataDir, ports, sim, demo, d.apps.CallbackURL)
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	d.cfg, err = loadConfig(d.file, nil, false)
	return err
}

// devReady bounds the wait for the partitions at the start.
const devReady = 30 * time.Second

// ready waits until the node has all its partitions and every demo app has
// answered its handshake.
func (d *devNode) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, devReady)
	defer cancel()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for !d.up() {
		select {
		case <-ctx.Done():
			return errors.New("the partitions or the demo apps did not come up")
		case <-t.C:
		}
	}
	return nil
}

func (d *devNode) up() bool {
	for _, st := range d.node.statuses() {
		if !st.Held && st.Halted == "" { // doctor says the way out of the latter
			return false
		}
	}
	apps := d.node.fanout.Apps()
	for _, a := range apps {
		if !a.Verified {
			return false
		}
	}
	return len(apps) == len(d.cfg.Apps) && d.node.rosters.Current().Version() > 0
}

// welcome says what runs where and what to try.
func (d *devNode) welcome() {
	page := d.cfg.Pages[0]
	d.say("page %s (%s): faq-bot is primary, live-agent and survey listen", page.ID, page.Name)
	d.say("webhooks    %s/webhook", d.node.publicURL())
	d.say("Graph API   %s/me/messages …", d.node.publicURL())
	d.say("admin       %s   (metrics, /readyz; `baton thread ls`)", d.node.adminURL())
	d.say("NATS        %s   (stream BATON_CONTROL)", d.node.server.URL())
	d.say("state is in %s, the configuration in %s; to forget everything: rm -r %s", d.cfg.DataDir, d.file, d.cfg.DataDir)
	admin := ""
	if d.node.adminURL() != defaultAdmin {
		admin = "--admin " + d.node.adminURL() + " "
	}
	d.say("now, in a second terminal: baton %ssim message \"where is my order?\"", admin)
}

// devConfig is the configuration of a development installation.
func devConfig(dataDir string, ports addresses, sim simulator.Roster, demo demoapps.Roster, callback func(uint64) string) string {
	var b configText
	b.line(0, "# Written by baton dev at each start.")
	b.line(0, "data_dir: %q", dataDir)
	b.line(0, "listen: {public: %q, admin: %q}", ports.public, ports.admin)
	b.line(0, "nats: {listen: %q}", ports.nats)
	b.line(0, "durability: node")
	b.line(0, "platform:")
	b.line(1, "graph_url: simulator")
	b.line(1, "app_id: %q", strconv.FormatUint(sim.AppID, 10))
	b.line(1, "app_secret: %q", sim.AppSecret)
	b.line(1, "verify_token: %q", sim.VerifyToken)
	b.line(0, `egress: {allow: ["127.0.0.0/8"]}`)
	b.line(0, "apps:")
	primary := control.AppID(0)
	for _, a := range demo.Apps {
		b.line(1, "- id: %q", strconv.FormatUint(a.ID, 10))
		b.line(2, "name: %s", a.Name)
		b.line(2, "secret: %q", a.Secret)
		b.line(2, "callback_url: %q", callback(a.ID))
		b.line(2, "verify_token: %q", a.VerifyToken)
		b.line(2, "fields: [%s]", joined(a.Fields))
		if a.Primary {
			primary = control.AppID(a.ID)
		}
	}
	b.line(0, "pages:")
	b.line(1, "- id: %q", strconv.FormatUint(sim.PageID, 10))
	b.line(2, "name: %s", sim.PageName)
	b.line(2, "access_token: %q", sim.PageToken)
	b.line(2, "routing: {mode: handover, primary: %q}", primary)
	b.line(2, "apps:")
	for _, a := range demo.Apps {
		b.line(3, "- {app: %q, access_token: %q, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}",
			strconv.FormatUint(a.ID, 10), a.AccessToken)
	}
	return b.String()
}
