package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/assignment"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/store/storetest"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/graphapi"
	"github.com/baton-router/baton/services/ownership"
)

// node is a machine: a disk, a clock, and the life of Baton on it.
type node struct {
	w       *World
	name    string
	disk    *storetest.Disk
	clock   *clock
	rosters *rosters
	lives   int
	frozen  atomic.Bool
	deaf    atomic.Bool // neither its beats nor those of others pass
	holds   []bool      // by partition: what it is told to hold, where no beats tell
	life    *life       // nil while it is down
}

// life is one run of the program on a node.
type life struct {
	link      *link
	store     *store.Store
	ownership *ownership.Service
	fanout    *fanout.Service
	graph     *graphapi.Service
	places    []*assignment.Service
	cancel    context.CancelFunc // ends it
	leave     context.CancelFunc // asks it to end
	stopping  bool
	ended     atomic.Bool
}

// start begins a life on what the disk holds.
func (n *node) start() error {
	n.lives++
	n.frozen.Store(false)
	l := &life{link: newLink(n)}
	// To whoever looks on or to nobody: the run is the same.
	logger := slog.New(slog.NewTextHandler(n.w.options.Trace, &slog.HandlerOptions{Level: slog.LevelWarn})).With("node", l.link.name)
	var err error
	if l.store, err = store.Open(store.Options{
		Dir: "store", FS: n.disk.FS(), CacheBytes: 1 << 20, MemTableBytes: 256 << 10, Logger: logger,
		Exit: func(reason string) { n.w.fail("the store of %s: %s", n.name, reason); select {} },
	}); err != nil {
		return fmt.Errorf("sim: open the store of %s: %w", n.name, err)
	}
	if err := n.services(l, logger); err != nil {
		return errors.Join(err, l.store.Close())
	}
	for p, holds := range n.holds {
		if holds {
			l.ownership.Hold(p)
			l.fanout.Hold(p)
		}
	}
	n.life = l
	l.begin()
	return nil
}

// begin runs the life. Asked to leave, it drains before its services end.
func (l *life) begin() {
	w := l.link.w
	present, leave := context.WithCancel(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	l.leave, l.cancel = leave, func() { leave(); cancel() }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return l.ownership.Run(ctx) })
	g.Go(func() error { return l.fanout.Run(ctx) })
	places := new(errgroup.Group)
	for _, s := range l.places {
		places.Go(func() error { return s.Run(present) })
	}
	places.Go(func() error { <-present.Done(); return nil })
	w.lives.Go(func() {
		if err := places.Wait(); err != nil && !l.link.dead.Load() {
			w.fail("assignment of %s ended: %v", l.link.name, err)
		}
		cancel()
	})
	w.lives.Go(func() {
		if err := g.Wait(); err != nil && ctx.Err() == nil {
			w.fail("%s ended: %v", l.link.name, err)
		}
		l.cancel()
		_ = places.Wait() // reported above
		if err := l.store.Close(); err != nil {
			w.fail("closing the store of %s: %v", l.link.name, err)
		}
		l.ended.Store(true)
	})
}

func (n *node) services(l *life, logger *slog.Logger) (err error) {
	o := &n.w.options
	l.ownership, err = ownership.New(ownership.Config{
		Partitions: o.Partitions, Holder: l.link.name, BatonID: batonID, Barrier: true, Effects: 1, Standby: o.Nodes > 1,
	}, ownership.Deps{
		Log: l.link, Input: l.link, Commands: l.link, Topic: l.link, Store: l.store, Rosters: n.rosters, Clock: n.clock,
		Platform: surveys{}, Logger: logger,
	})
	if err != nil {
		return err
	}
	c := fanout.Default(o.Partitions)
	c.Partitions = nil
	c.Node, c.BatonID, c.CacheBytes, c.SaveTogether = l.link.name, batonID, 1<<20, 2
	l.fanout, err = fanout.New(c, fanout.Deps{
		Log: l.link, Inbound: l.link, Cursors: l.link, Steering: l.link, Rosters: n.rosters, Logger: logger,
		Transport: func(app fanout.App, _ int) fanout.Transport { return &transport{link: l.link, app: app.ID} },
	})
	if err != nil {
		return err
	}
	l.graph, err = graphapi.New(graphapi.Default(o.Partitions), graphapi.Deps{
		Roster: n.rosters.Current, Holder: l.link, Platform: phone{l.link}, Logger: logger,
	})
	if err != nil || !n.w.beating {
		return err
	}
	return errors.Join(n.place(l, "ownership", l.ownership, logger), n.place(l, "fanout", l.fanout, logger))
}

func (n *node) place(l *life, name string, role assignment.Role, logger *slog.Logger) error {
	s, err := assignment.New(assignment.Default(name, n.name, n.w.options.Partitions), l.link, role, logger)
	l.places = append(l.places, s)
	return err
}

// hold tells the node to hold a partition.
func (n *node) hold(p int) {
	n.holds[p] = true
	if n.life != nil {
		n.life.ownership.Hold(p)
		n.life.fanout.Hold(p)
	}
}

// yield tells it to give a partition back.
func (n *node) yield(p int) {
	n.holds[p] = false
	if l := n.life; l != nil {
		n.w.lives.Go(func() { l.ownership.Yield(p) })
		n.w.lives.Go(func() { l.fanout.Yield(p) })
	}
}

// surveys refuses nothing; the roster has no use for it.
type surveys struct{}

// SendSurvey implements ownership.Platform.
func (surveys) SendSurvey(_ context.Context, _ control.ThreadKey, _ []byte, token string) (mid string, refused []byte, err error) {
	return "mid." + token, nil, nil
}

// Mirror implements ownership.Platform.
func (surveys) Mirror(context.Context, control.ThreadKey, bool) error { return nil }

// crash ends the life at this moment: what it still does has no effect, of what
// it was sending some is on its way, and the disk keeps what it had synced and,
// unless the power went, what it had written.
func (n *node) crash(power bool) {
	l := n.life
	n.life = nil
	n.frozen.Store(false)
	l.link.dead.Store(true)
	for _, o := range n.w.scheduler.waiting() {
		if o.link == l.link {
			if o.left != nil && n.w.scheduler.chance(60) {
				o.left()
			}
			n.w.scheduler.release(o)
		}
	}
	percent := 100
	if power {
		percent = 0
	}
	n.disk = n.disk.CutPower(percent, 1)
	l.cancel()
}

// stop asks the life to end, as SIGTERM does.
func (n *node) stop() {
	n.life.stopping = true
	n.frozen.Store(false)
	n.life.leave()
}

// gone forgets a life that has ended by itself.
func (n *node) gone() {
	if n.life != nil && n.life.ended.Load() {
		n.life.link.dead.Store(true)
		n.life = nil
	}
}
