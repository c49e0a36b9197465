package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/services/console"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/graphapi"
	"github.com/baton-router/baton/services/ingress"
	"github.com/baton-router/baton/services/ownership"
)

// role is one part of the program: its name on the command line, how it is
// built from what the node shares, and the services it then runs.
type role struct {
	name  string
	build func(*node) error
	what  string
}

// roles is the whole program as one table. Services start in this order and
// stop in reverse: ingress stops taking before ownership stops deciding.
//
//nolint:gochecknoglobals // a constant table
var roles = []role{
	{"ownership", buildOwnership, "decides: one holder per partition"},
	{"fanout", buildFanout, "delivers what was decided to the apps"},
	{"graphapi", buildGraphAPI, "speaks the Graph API to the apps"},
	{"ingress", buildIngress, "takes the platform's webhooks"},
	{"console", buildConsole, "serves operators on the admin listener"},
}

// roleNames lists the roles as the command line knows them.
func roleNames() []string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = r.name
	}
	return names
}

// knownRoles refuses names that are no role's, before anything is opened.
func knownRoles(names []string) error {
	for _, name := range names {
		if !slices.Contains(roleNames(), name) {
			return usage("unknown role %q, want some of %s", name, strings.Join(roleNames(), ", "))
		}
	}
	return nil
}

// buildRoles builds the named roles, all of them when none is named.
func (n *node) buildRoles(names []string) error {
	for _, r := range roles {
		if len(names) > 0 && !slices.Contains(names, r.name) {
			continue
		}
		if err := r.build(n); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// services are the node's services in the order in which they start.
func (n *node) services() []lifecycle.Service {
	all := []lifecycle.Service{n.rosters, lifecycle.Func("gauges", n.measure), lifecycle.Func("memory", n.giveBack)}
	if n.simulator != nil {
		all = append(all, lifecycle.Func("clock", n.clock.Run))
	}
	switch {
	case n.assigned.ownership != nil:
		all = append(all, n.ownership, n.assigned.ownership)
	case n.ownership != nil:
		all = append(all, lifecycle.Func("standby", n.ownership.Follow))
	}
	all = append(all, n.extra...) // apps are there before the first delivery and after the last
	if n.fanout != nil {
		all = append(all, lifecycle.Func("delivery log", n.journal.run))
		all = append(all, stopping{lifecycle.Func("fanout", n.fanout.Run), 6 * time.Second}, n.assigned.fanout)
	}
	if n.ingress != nil {
		all = append(all, lifecycle.Func("ingress", n.ingress.Run))
	}
	all = append(all, lifecycle.Func("public listener", n.servePublic))
	if n.console != nil {
		all = append(all, n.console)
	}
	if n.simulator != nil {
		all = append(all, lifecycle.Func("simulator", n.simulator.Run))
	}
	return all
}

// stopping gives a service a stop deadline of its own.
type stopping struct {
	lifecycle.Service
	within time.Duration
}

func (s stopping) StopWithin() time.Duration { return s.within }

func buildOwnership(n *node) error {
	n.decides = true
	n.health.Set("partitions", lifecycle.NotReady, fmt.Sprintf("0 of %d held", n.cfg.Partitions))
	return buildOwnershipOn(n, n.bus)
}

// buildOwnershipOn builds the role on a log; tests give it one that fails.
func buildOwnershipOn(n *node, log ownership.Log) (err error) {
	n.ownership, err = ownership.New(ownership.Config{
		Partitions: n.cfg.Partitions, Holder: n.name, BatonID: n.identity.BatonID, Barrier: n.server == nil, Standby: n.server == nil,
		RetainInbound: time.Duration(n.cfg.Retention.Inbound), Encoding: topicEncoding(n.cfg.Control.Encoding),
		Snapshots: ownership.SnapshotRule{Dir: filepath.Join(n.cfg.DataDir, "checkpoint")},
	}, ownership.Deps{
		Log: log, Input: n.bus, Commands: n.bus, Topic: n.bus, Store: n.store, Snapshots: n.bus, Rosters: n.rosters, Clock: n.clock,
		Platform: upstream{n.platform, n.rosters}, Observe: n.observeOwnership(), Logger: n.log.With("role", "ownership"),
	})
	return err
}

// topicEncoding is control.encoding of the configuration.
func topicEncoding(name string) eventlog.Encoding {
	if name == "protobuf" {
		return eventlog.EncodingProtobuf
	}
	return eventlog.EncodingJSON
}

func buildFanout(n *node) error { return buildFanoutOn(n, n.bus) }

// buildFanoutOn builds the role on a place for its cursors; tests give it one
// that fails.
func buildFanoutOn(n *node, cursors fanout.Cursors) error {
	allow, proxy, err := wayOut(n.cfg.Egress)
	if err != nil {
		return err
	}
	c := fanout.Default(n.cfg.Partitions)
	c.DrainFor = 4 * time.Second // a stop of all roles takes at most 10 s
	c.Node, c.BatonID, c.Sole = n.name, n.identity.BatonID, n.server != nil
	c.Partitions = nil // assigned
	if n.streamConfig().Replicas > 1 {
		c.SaveTogether = 2
	}
	n.fanout, err = fanout.New(c, fanout.Deps{
		Log: n.bus, Inbound: n.bus, Cursors: cursors, Rosters: n.rosters, Steering: n.bus,
		Transport: func(app fanout.App, maxConns int) fanout.Transport {
			return egress.Transport(egress.Policy{Allow: allow, Proxy: proxy, Credentials: app.Credentials, MaxConns: maxConns})
		},
		Observers: n.observeFanout(), Journal: n.journal, Logger: n.log.With("role", "fanout"),
	})
	return err
}

// wayOut is how callbacks are reached.
func wayOut(c roster.Egress) (egress.Allow, *egress.Proxy, error) {
	allow, err := egress.ParseAllow(c.Allow)
	if err != nil {
		return allow, nil, err
	}
	o := egress.ProxyOptions{URL: c.Proxy.URL, User: c.Proxy.User, Password: c.Proxy.Password.Value()}
	if c.Proxy.CA != "" {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		if o.TLS.RootCAs, err = readCertificates(c.Proxy.CA); err != nil {
			return allow, nil, err
		}
	}
	proxy, err := egress.NewProxy(o)
	return allow, proxy, err
}

func buildGraphAPI(n *node) error {
	allow, proxy, err := wayOut(n.cfg.Egress)
	if err != nil {
		return err
	}
	c := graphapi.Default(n.cfg.Partitions)
	c.RequestBytes, c.UploadBytes = int64(n.cfg.Limits.RequestBytes), int64(n.cfg.Limits.UploadBytes)
	c.SpoolDir = filepath.Join(n.cfg.DataDir, "spool")
	if err := os.MkdirAll(c.SpoolDir, 0o700); err != nil {
		return fmt.Errorf("upload directory: %w", err)
	}
	n.graphapi, err = graphapi.New(c, graphapi.Deps{
		Roster: n.rosters.Current, Holder: n.bus, Platform: n.platform, PlatformURL: n.platform.BaseURL(),
		Rosters: n.rosters, Observe: n.observeGraphAPI(),
		Callbacks: func(app *roster.Application) graphapi.Transport {
			return egress.Transport(egress.Policy{Allow: allow, Proxy: proxy, Credentials: fanout.CredentialsOf(app)})
		},
		Logger: n.log.With("role", "graphapi"),
	})
	return err
}

func buildIngress(n *node) (err error) {
	n.ingress, err = ingress.New(n.ingressConfig(), n.ingressDeps())
	return err
}

func buildConsole(n *node) error {
	tokens := make([]console.Token, 0, len(n.cfg.Admin.Tokens))
	for _, t := range n.cfg.Admin.Tokens {
		r, err := console.ParseRole(t.Role)
		if err != nil {
			return err
		}
		tokens = append(tokens, console.Token{Name: t.Name, Token: t.Token.Value(), Role: r})
	}
	config, err := serverTLS(n.cfg.Listen.TLS.Cert, n.cfg.Listen.TLS.Key, n.cfg.Listen.TLS.ClientCA)
	if err != nil {
		return err
	}
	if n.ownership == nil && n.server == nil { // what operators see comes from this node's store
		if err := buildOwnershipOn(n, n.bus); err != nil {
			return err
		}
	}
	deps := console.Deps{
		Letters: n.letters, Deliveries: n.journal,
		Bus: n.bus, Streams: n.bus, Store: n.store, Rosters: n.rosters, Apps: steering{fanout.Remote{Bus: n.bus, Partitions: n.cfg.Partitions}}, Node: n.describe(),
		Doctor: n.examine, Repair: n.repair,
		Health: n.health.Live(), Ready: n.health.Ready(), Metrics: n.metrics.Handler(),
		Refused: n.metrics.UnauthenticatedCalls.With("admin").Inc, Logger: n.log.With("role", "console"),
	}
	if n.server == nil {
		deps.CatchUp = n.ownership.CatchUp
	}
	deps.Mounts = append(deps.Mounts, n.mountAssignments())
	if n.simulator != nil {
		path, handler := n.simulator.NewHandler()
		deps.Mounts = append(deps.Mounts, console.Mount{Path: path, Handler: handler, Role: console.RoleOperator})
	}
	n.console, err = console.New(console.Config{Tokens: tokens, TLS: config}, deps, n.admin)
	return err
}

// describe is the node as operators see it.
func (n *node) describe() console.Node {
	count := func(f func(ownership.Status) int) int {
		total := 0
		for _, st := range n.statuses() {
			total += f(st)
		}
		return total
	}
	return console.Node{
		Version: Version, Durability: string(n.cfg.Durability), PublicURL: n.publicURL(), Partitions: n.cfg.Partitions,
		Held: func() int {
			return count(func(st ownership.Status) int {
				if st.Held {
					return 1
				}
				return 0
			})
		},
		Threads: func() uint64 { return uint64(count(func(st ownership.Status) int { return st.Threads })) },
		Halted: func() (lines []string) {
			for _, st := range n.statuses() {
				if st.Halted != "" {
					lines = append(lines, fmt.Sprintf("partition %d: %s", st.Partition, st.Halted))
				}
			}
			return lines
		},
		Delivering: n.delivering,
		Missing: func(version uint64) []int {
			if n.ownership == nil {
				return nil
			}
			return n.ownership.RosterApplied(version)
		},
	}
}

func (n *node) statuses() []ownership.Status {
	if n.ownership == nil {
		return nil
	}
	return n.ownership.Statuses()
}

func readCertificates(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates: %s holds none", file)
	}
	return pool, nil
}

// clientTLS is how to meet an existing NATS server.
func clientTLS(c roster.NATSTLS) (*tls.Config, error) {
	if c.CA == "" && c.Cert == "" {
		return nil, nil //nolint:nilnil // the system's roots
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if c.CA != "" {
		if config.RootCAs, err = readCertificates(c.CA); err != nil {
			return nil, err
		}
	}
	if c.Cert == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}
