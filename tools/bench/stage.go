package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// router is what stands between the platform and the apps.
type router interface {
	// webhooks is where it takes webhooks: host:port and path.
	webhooks() (host, target string)
	usage() (proc.Usage, error)
}

// stage is a measurement's surroundings: apps and a platform in processes of
// their own, and a router between them.
type stage struct {
	threads   int
	callbacks []string
	sink      *proc.Child
	load      *proc.Child
	router    router
	// quiet is how long a sink waits in vain for the next delivery.
	quiet time.Duration
	// crashed: the router was killed. What it delivered in its last second
	// may come again, in order; nothing may be lost.
	crashed bool
}

// newStage starts apps and a platform.
func newStage(ctx context.Context, apps, threads int) (s *stage, err error) {
	s = &stage{threads: threads, quiet: 20 * time.Second}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.sink, err = proc.StartChild(ctx, childWord, "sink"); err != nil {
		return s, err
	}
	spec := traffic.SinkSpec{Apps: apps, Threads: threads, Secret: appSecret, Verify: verify}
	if s.callbacks, err = proc.Call[[]string](s.sink, spec); err != nil {
		return s, err
	}
	s.load, err = proc.StartChild(ctx, childWord, "load")
	return s, err
}

func (s *stage) close() error {
	var faults []error
	for _, c := range []*proc.Child{s.load, s.sink} {
		if c != nil {
			faults = append(faults, c.Stop())
		}
	}
	return errors.Join(faults...)
}

// shape is a load: it ends after so many events or after a time.
type shape struct {
	events  int
	during  time.Duration
	perPost int
	rate    float64 // events per second; 0 for as fast as they are taken
	// apps that must get everything; none for all.
	apps []int
	// undelivered leaves out the wait for deliveries.
	undelivered bool
	// further adds the latencies to those of the load before.
	further bool
}

// following is the load with its latencies added to those of the one before, or not.
func (sh shape) following(further bool) shape {
	sh.further = further
	return sh
}

// connections of the platform, as many as the clients of the Graph API. With
// fewer, both routers wait for POSTs more than they work.
const connections = controlClients

// outcome is what a load has come to.
type outcome struct {
	events   int
	accepted time.Duration // until everything was acknowledged
	took     time.Duration // until the last delivery
	post     traffic.Latency
	latency  traffic.Latency // from the POST to the delivery, all apps
	apps     []traffic.Tally
	router   proc.Usage
	sink     proc.Usage
	load     proc.Usage
}

// rate is events per second from the first POST to the last delivery.
func (o outcome) rate() float64 { return perSecond(o.events, o.took) }

// perEvent is CPU time per event in microseconds.
func perEvent(u proc.Usage, events int) float64 {
	return float64(u.CPU) / float64(time.Microsecond) / float64(events)
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// play posts a load and waits until all apps have all of it. It is an error
// when one of them did not get every event once, in order and signed.
func (s *stage) play(ctx context.Context, sh shape) (o outcome, err error) {
	if _, err := s.order(traffic.SinkOrder{Do: "reset", Further: sh.further}); err != nil {
		return o, err
	}
	before, err := s.usages()
	if err != nil {
		return o, err
	}
	result, err := s.post(sh)
	if err != nil {
		return o, err
	}
	o = outcome{events: int(result.Events), accepted: result.Took, post: result.Latency}
	do := traffic.SinkOrder{Do: "await", Apps: sh.apps, Count: result.Events, Quiet: s.quiet}
	if sh.undelivered {
		do.Do = "tally"
	}
	got, err := s.order(do)
	if err != nil {
		return o, err
	}
	after, err := s.usages()
	if err != nil {
		return o, err
	}
	o.router, o.sink, o.load = after[0].Since(before[0]), after[1].Since(before[1]), after[2].Since(before[2])
	o.latency, o.apps = got.All, got.Apps
	if sh.undelivered {
		return o, ctx.Err()
	}
	o.took = time.Duration(last(got.Apps) - result.Began)
	return o, s.complete(got.Apps, result.Events)
}

func (s *stage) post(sh shape) (traffic.LoadResult, error) {
	host, target := s.router.webhooks()
	return proc.Call[traffic.LoadResult](s.load, traffic.LoadSpec{
		Host: host, Target: target, Secret: appSecret, Page: page, Threads: s.threads, Conns: connections,
		Events: sh.events, For: sh.during, PerPost: sh.perPost, Rate: sh.rate,
	})
}

func (s *stage) order(o traffic.SinkOrder) (traffic.SinkReport, error) {
	return proc.Call[traffic.SinkReport](s.sink, o)
}

// usages are those of the router, the sink and the load.
func (s *stage) usages() (u [3]proc.Usage, err error) {
	var faults [3]error
	u[0], faults[0] = s.router.usage()
	u[1], faults[1] = s.sink.Usage()
	u[2], faults[2] = s.load.Usage()
	return u, errors.Join(faults[:]...)
}

func last(apps []traffic.Tally) (at int64) {
	for _, a := range apps {
		at = max(at, a.Last)
	}
	return at
}

// complete returns an error unless every app has exactly that many events, each
// once and in its place.
func (s *stage) complete(apps []traffic.Tally, want uint64) error {
	var faults []error
	for i, a := range apps {
		if a.Deliveries != want || a.Ahead+a.Unsigned > 0 || a.Repeated > 0 && !s.crashed {
			faults = append(faults, fmt.Errorf("app %d of those asked has %d of %d events; %d came again, %d too early, %d POSTs had a wrong signature; %s",
				i, a.Deliveries, want, a.Repeated, a.Ahead, a.Unsigned, a.Example))
		}
	}
	return errors.Join(faults...)
}

// warm sends every thread an event, as an installation in service has seen
// them.
func (s *stage) warm(ctx context.Context) (outcome, error) {
	return s.play(ctx, shape{events: s.threads, perPost: perWarm})
}

// perWarm are the events of a POST where only the number of events counts.
const perWarm = 100

// batonStage is a stage with a Baton of its own.
type batonStage struct {
	*stage
	*baton
	dir string
}

// crash kills the Baton as kill -9 does and starts it again on its data.
func (s *batonStage) crash(ctx context.Context, program string) error {
	if err := s.baton.kill(); err != nil {
		return err
	}
	s.crashed = true
	return s.again(ctx, program)
}

// again starts a Baton on the data of the one that has ended.
func (s *batonStage) again(ctx context.Context, program string) error {
	node, err := startBaton(ctx, program, s.dir)
	if err == nil {
		s.baton, s.router = node, node
	}
	return err
}

// settlings is how often resident looks at most.
const settlings = 6

// resident is the memory in use, in MiB, after a collection and once no more of
// what that has freed is given back: on a busy machine that takes its time.
func (b *bench) resident(ctx context.Context, s *batonStage) (float64, error) {
	if _, err := s.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	least := math.Inf(1)
	for range settlings {
		if err := traffic.Pause(ctx, b.size.idle); err != nil {
			return 0, err
		}
		u, err := s.baton.usage()
		if err != nil {
			return 0, err
		}
		now := float64(u.Resident) / (1 << 20)
		if now > least-1 {
			return min(now, least), nil
		}
		least = now
	}
	return least, nil
}

// onBaton measures with a fresh Baton, warmed up. Its directory is removed
// after a good measurement.
func (b *bench) onBaton(ctx context.Context, name string, apps, threads int, conf setup, measure func(*batonStage) error) (err error) {
	s, err := newStage(ctx, apps, threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := b.folder(name)
	if err != nil {
		return err
	}
	conf.callbacks, conf.partitions = s.callbacks, b.size.partitions
	if err := conf.write(dir); err != nil {
		return err
	}
	node, err := startBaton(ctx, b.options.baton, dir)
	if err != nil {
		return err
	}
	s.router = node
	bs := &batonStage{stage: s, baton: node, dir: dir}
	if !conf.cold {
		if _, err = s.warm(ctx); err == nil {
			err = node.onTopic(ctx)
		}
	}
	if err == nil {
		err = measure(bs)
	}
	if err = errors.Join(err, bs.baton.stop()); err == nil {
		err = os.RemoveAll(dir)
	}
	return err
}

// awaited waits for events that are on their way already.
func (s *stage) awaited(before [3]proc.Usage, began time.Time, events int) (o outcome, err error) {
	got, err := s.order(traffic.SinkOrder{Do: "await", Count: uint64(events), Quiet: s.quiet})
	if err != nil {
		return o, err
	}
	after, err := s.usages()
	if err != nil {
		return o, err
	}
	return outcome{
		events: events, took: time.Duration(last(got.Apps) - began.UnixNano()), latency: got.All, apps: got.Apps,
		router: after[0].Since(before[0]), sink: after[1].Since(before[1]), load: after[2].Since(before[2]),
	}, s.complete(got.Apps, uint64(events))
}
