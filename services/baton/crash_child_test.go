package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/graphapi"
	"github.com/baton-router/baton/services/ingress"
	"github.com/baton-router/baton/services/ownership"
)

// A crash test starts this test binary again as a node that kills itself at a
// point. The environment says which configuration, point and how many times the
// point is to be passed before.
const (
	envConfig = "BATON_CRASH_CONFIG"
	envPoint  = "BATON_CRASH_POINT"
	envNth    = "BATON_CRASH_NTH"
	// envMain makes the test binary behave as the program itself.
	envMain = "BATON_CRASH_MAIN"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(envMain) != "":
		main()
	case os.Getenv(envConfig) != "":
		os.Exit(serveDoomed(os.Getenv(envConfig)))
	default:
		code := m.Run()
		removeBinary()
		os.Exit(code)
	}
}

// doom kills the process with SIGKILL when its point is passed the nth time.
type doom struct {
	point string
	left  atomic.Int64
}

func doomFromEnvironment() *doom {
	d := &doom{point: os.Getenv(envPoint)}
	n := int64(1)
	_, _ = fmt.Sscan(os.Getenv(envNth), &n)
	d.left.Store(n)
	return d
}

// reached is passed at each point.
func (d *doom) reached(point string) {
	if d.next(point) {
		die()
	}
}

// next reports whether this is the time to die at the point.
func (d *doom) next(point string) bool {
	return point == d.point && d.left.Add(-1) == 0
}

// die ends the process at once, as kill -9 does, and does not return.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// serveDoomed runs a full node whose parts are wrapped so that it dies at the
// point given.
func serveDoomed(file string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runDoomed(ctx, file, doomFromEnvironment()); err != nil {
		fmt.Fprintln(os.Stderr, "baton:", explain(err))
		return exitCode(err)
	}
	return exitDone
}

func runDoomed(ctx context.Context, file string, d *doom) error {
	log, err := telemetry.NewLogger(os.Stderr, "text", "info")
	if err != nil {
		return err
	}
	cfg, err := loadConfig(file, nil, false)
	if err != nil {
		return err
	}
	n, err := openNode(ctx, cfg, log, nodeOptions{
		trace:      ownership.Observer{Reached: func(p ownership.Point, _ int) { d.reached(string(p)) }},
		onDelivery: func(fanout.Finished) { d.reached("13-answered") },
	})
	if err != nil {
		return openFailure(err)
	}
	if err := d.wrap(n); err != nil {
		return err
	}
	n.announce()
	return n.run(ctx)
}

// wrap replaces the roles' surroundings by ones that die.
func (d *doom) wrap(n *node) (err error) {
	n.public = doomedListener{n.public, d}
	deps := n.ingressDeps()
	deps.Publisher = doomedPublisher{n.bus, d}
	if n.ingress, err = ingress.New(n.ingressConfig(), deps); err != nil {
		return err
	}
	if n.graphapi, err = graphapi.New(graphapi.Default(n.cfg.Partitions), graphapi.Deps{
		Roster: n.rosters.Current, Holder: n.bus, Platform: doomedSender{n.platform, d}, Logger: n.log.With("role", "graphapi"),
	}); err != nil {
		return err
	}
	if err := buildOwnershipOn(n, doomedLog{n.bus, d}); err != nil {
		return err
	}
	return buildFanoutOn(n, doomedCursors{n.bus, d})
}

// doomedPublisher dies around the publish of an inbound message: points 1 to 3.
type doomedPublisher struct {
	*bus.Conn
	doom *doom
}

func (p doomedPublisher) SubmitInbound(part int, data []byte, stored func(error)) {
	p.doom.reached("1-before-publish")
	if p.doom.next("2-published") {
		ctx := context.Background()
		before, _ := p.LastInbound(ctx, part)
		p.Conn.SubmitInbound(part, data, func(error) {})
		dieOnceTrue(func() bool { last, err := p.LastInbound(ctx, part); return err == nil && last > before })
	}
	p.Conn.SubmitInbound(part, data, func(err error) {
		p.doom.reached("3-acked")
		stored(err)
	})
}

// dieOnceTrue waits for something that another goroutine brings about.
func dieOnceTrue(happened func() bool) {
	for !happened() {
	}
	die()
}

// doomedListener dies once a webhook's answer is on its way: the far side of
// point 3, and of point 8 for the Graph API.
type doomedListener struct {
	net.Listener
	doom *doom
}

func (l doomedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return doomedConn{c, l.doom}, nil
}

type doomedConn struct {
	net.Conn
	doom *doom
}

func (c doomedConn) Write(b []byte) (int, error) {
	point := "8-answered"
	if bytes.Contains(b, []byte("EVENT_RECEIVED")) {
		point = "3-answered"
	}
	now := c.doom.next(point)
	n, err := c.Conn.Write(b)
	if now {
		die()
	}
	return n, err
}

// doomedLog dies when a record, or a claim, has landed and its acknowledgement
// has not come: points 5 and 15.
type doomedLog struct {
	*bus.Conn
	doom *doom
}

func (l doomedLog) AppendLog(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	point := "5-landed"
	if rec, err := eventlog.Decode(data); err == nil && rec.Claim {
		point = "15-claim-landed"
	}
	if l.doom.next(point) {
		go func() { _, _ = l.Conn.AppendLog(ctx, p, data, expected) }()
		dieOnceTrue(func() bool { m, err := l.LastLog(ctx, p); return err == nil && m.Sequence > expected })
	}
	return l.Conn.AppendLog(ctx, p, data, expected)
}

// doomedSender dies around the forwarding of a send: points 10 and 12.
type doomedSender struct {
	*platform.Client
	doom *doom
}

func (s doomedSender) SendMessage(ctx context.Context, m platform.Message) (platform.Answer, error) {
	s.doom.reached("10-accepted")
	answer, err := s.Client.SendMessage(ctx, m)
	s.doom.reached("12-answered")
	return answer, err
}

// doomedCursors dies around the save of a fan-out cursor: points 13 and 14.
type doomedCursors struct {
	*bus.Conn
	doom *doom
}

func (c doomedCursors) SaveCursor(ctx context.Context, p int, data []byte, expected uint64) (uint64, error) {
	c.doom.reached("13-before-save")
	seq, err := c.Conn.SaveCursor(ctx, p, data, expected)
	c.doom.reached("14-saved")
	return seq, err
}

// SaveCursors passes its points once for each cursor: they are saved whatever was
// dead before the last one was.
func (c doomedCursors) SaveCursors(ctx context.Context, moves []bus.CursorMove) ([]uint64, error) {
	for range moves {
		c.doom.reached("13-before-save")
	}
	seqs, err := c.Conn.SaveCursors(ctx, moves)
	for range moves {
		c.doom.reached("14-saved")
	}
	return seqs, err
}

// within polls a condition until it is met or the time is over.
func within(d time.Duration, met func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-deadline.C:
			return met()
		case <-tick.C:
		}
	}
	return true
}
