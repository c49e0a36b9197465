package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/lifecycle"
	"github.com/baton-router/baton/services/fanout"
	"github.com/baton-router/baton/services/graphapi"
	"github.com/baton-router/baton/services/ingress"
	"github.com/baton-router/baton/services/ownership"
)

// observeOwnership counts what the holders do.
func (n *node) observeOwnership() ownership.Observer {
	m := n.metrics
	o := n.trace
	o.Decided = func(e control.Event) {
		m.Decisions.With(control.Name(e)).Inc()
		if _, ok := e.(control.Expired); ok {
			m.Expiries.Inc()
		}
	}
	o.Refused = func(v control.Verb, r control.Reason) { m.Refusals.With(v.String(), r.String()).Inc() }
	o.Owned = func(app control.AppID, delta int) { m.OwnedThreads.With(app.String()).Add(float64(delta)) }
	o.Appended = func(d time.Duration, _ int) {
		m.LogAppendSeconds.Observe(d)
		m.LogRecords.Inc()
	}
	o.Command = func(verb, result string) {
		m.Commands.With(verb, result).Inc()
		if result == "busy" {
			m.CommandQueueFull.Inc()
		}
	}
	o.Duplicate = m.Events.With("any", "duplicate").Inc
	o.Fenced = func(int) { m.FencedRecords.Inc() }
	o.Drift = m.SideDrift.Inc
	o.Claimed = func(_, replayed int) {
		m.Claims.Inc()
		m.ClaimReplayed.Add(replayed)
	}
	o.Holding = func(int) { n.nudge() }
	o.Halted = func(int, string) { n.nudge() }
	o.Snapshot = func(err error) {
		if err != nil {
			m.SnapshotFailures.Inc()
		}
	}
	return o
}

// observeFanout counts what the apps get.
func (n *node) observeFanout() fanout.Observers {
	m := n.metrics
	return fanout.Observers{
		Attempt: func(a fanout.Attempt) {
			app := a.App.String()
			m.DeliverySeconds.With(app).Observe(a.Took)
			m.DeliveryAttempts.With(app, a.Answer, string(a.Failure)).Inc()
		},
		Finished: func(f fanout.Finished) {
			m.Deliveries.With(f.App.String(), f.Channel.String(), string(f.Outcome)).Inc()
			if f.Outcome != fanout.OutcomeDelivered && f.Outcome != fanout.OutcomeOutdated {
				m.DeadLetters.With(f.App.String(), string(f.Outcome)).Inc()
			}
			if n.onDelivery != nil {
				n.onDelivery(f)
			}
		},
		Claimed: func(p int) { n.health.Clear(fmt.Sprintf("fanout %d", p)) },
		Deposed: func(p int) {
			if n.server == nil {
				return // a move that the assignment sees to
			}
			n.health.Set(fmt.Sprintf("fanout %d", p), lifecycle.NotReady, "another node has taken the partition's deliveries over")
		},
		Skipped: func(int, control.Position) { m.FencedRecords.Inc() },
		Halted: func(p int, err error) {
			n.health.Set(fmt.Sprintf("fanout %d", p), lifecycle.Degraded, "deliveries halted: "+err.Error())
		},
	}
}

func (n *node) observeGraphAPI() graphapi.Observer {
	m := n.metrics
	return graphapi.Observer{
		Called: func(edge string, status, code int, _ time.Duration) {
			if code == codeBadToken {
				m.UnauthenticatedCalls.With("graph").Inc()
			}
			_, _ = edge, status
		},
		Forwarded: func(outcome string, _ time.Duration) {
			m.Sends.With(outcome).Inc()
			m.PlatformRequests.With("messages", outcome).Inc()
		},
	}
}

// codeBadToken is the Graph code of an unknown token.
const codeBadToken = 190

func (n *node) observeIngress() ingress.Observer {
	m := n.metrics
	return ingress.Observer{
		Request: func(result string) {
			m.Webhooks.With(result).Inc()
			if result == ingress.ResultSignature {
				m.UnauthenticatedCalls.With("webhook").Inc()
			}
		},
		Event:       func(o control.Object, k control.Kind) { m.Events.With(o.String(), k.String()).Inc() },
		UnknownPage: func(uint64) { m.Events.With("any", "unknown_page").Inc() },
	}
}

// measureEvery is how often gauges and conditions are renewed.
const measureEvery = time.Second

// nudge has the partitions' conditions renewed at once: a node is ready when it
// holds the last one, not when it next looks. It does not block.
func (n *node) nudge() {
	select {
	case n.nudged <- struct{}{}:
	default:
	}
}

// measure renews the gauges and the conditions behind /readyz until ctx ends.
func (n *node) measure(ctx context.Context) error {
	n.health.Note("durability", string(n.cfg.Durability))
	n.health.Note("version", Version)
	n.metrics.InboundRetention.Set(time.Duration(n.cfg.Retention.Inbound).Seconds())
	t := time.NewTicker(measureEvery)
	defer t.Stop()
	n.measureAll(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.nudged:
			n.measurePartitions()
		case <-t.C:
			n.measureAll(ctx)
		}
	}
}

func (n *node) measureAll(ctx context.Context) {
	n.measurePartitions()
	n.measureAssignment()
	n.measureApps()
	n.measureSnapshots()
	n.measureStreams(ctx)
}

// halted counts the partitions that are halted here.
func (n *node) halted() (count int) {
	for _, st := range n.statuses() {
		if st.Halted != "" {
			count++
		}
	}
	return count
}

// haltLevel is how bad it is that so many of the node's partitions are halted: a
// load balancer must not take the others away with them.
func (n *node) haltLevel(halted int) lifecycle.Level {
	if halted >= n.cfg.Partitions {
		return lifecycle.NotReady
	}
	return lifecycle.Degraded
}

func (n *node) measurePartitions() {
	held, halted, doubtful := 0, 0, 0
	level := n.haltLevel(n.halted())
	n.decided = 0
	for _, st := range n.statuses() {
		name := "partition " + strconv.Itoa(st.Partition)
		switch {
		case st.Halted != "":
			halted++
			n.health.Set(name, level, "halted: "+st.Halted)
		case st.Held && st.Skipped > 0:
			held++
			n.health.Set(name, lifecycle.Degraded, fmt.Sprintf("%d records of an ended epoch were found in its log and skipped", st.Skipped))
		case st.Held:
			held++
			n.health.Clear(name)
		default: // repaired, and held elsewhere
			n.health.Clear(name)
		}
		n.decided = max(n.decided, st.Input)
		if st.TimersStopped {
			doubtful++
		}
	}
	n.metrics.PartitionsHeld.Set(float64(held))
	n.metrics.PartitionsHalted.Set(float64(halted))
	if n.fanout != nil {
		n.metrics.DeliveriesHalted.Set(float64(len(n.fanout.Unable())))
	}
	n.metrics.TimersStopped.Set(float64(doubtful))
	if n.started(held, halted) {
		n.goOn()
	}
	if !n.decides {
		return
	}
	n.metrics.ControlTopicLag.Set(float64(n.ownership.Lag()))
	if n.server != nil && held+halted < n.cfg.Partitions { // with others, the assignment says what nobody holds
		n.health.Set("partitions", lifecycle.NotReady, fmt.Sprintf("%d of %d held", held, n.cfg.Partitions))
	} else {
		n.health.Set("partitions", lifecycle.OK, fmt.Sprintf("%d held here", held))
	}
	if doubtful > 0 {
		n.health.Set("clock", lifecycle.Degraded, "the wall clock has jumped or differs from the time of NATS; nothing expires until they agree")
	} else {
		n.health.Clear("clock")
	}
}

func (n *node) measureApps() {
	if n.fanout == nil {
		return
	}
	for _, a := range n.fanout.Apps() {
		id := a.App.String()
		n.metrics.AppLagEvents.With(id, "undelivered").Set(float64(a.Undelivered))
		n.metrics.AppLagEvents.With(id, "unread").Set(float64(a.Unread))
		n.metrics.AppLagSeconds.With(id, "undelivered").Set(a.Oldest.Seconds())
		n.metrics.AppBreaker.With(id).Set(float64(a.Breaker))
	}
}

func (n *node) measureStreams(ctx context.Context) {
	use, err := n.bus.StreamUse(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.health.Set("streams", lifecycle.NotReady, err.Error())
		}
		return
	}
	n.health.Set("streams", lifecycle.OK, "")
	n.measureBacklog(ctx)
	for _, u := range use {
		n.metrics.StreamBytes.With(u.Name).Set(float64(u.Bytes))
		n.metrics.StreamLimitBytes.With(u.Name).Set(float64(u.Limit))
		if u.Limit > 0 && u.Bytes > u.Limit*9/10 {
			n.health.Set("stream "+u.Name, lifecycle.Degraded, fmt.Sprintf("%d of %d bytes used", u.Bytes, u.Limit))
		} else {
			n.health.Clear("stream " + u.Name)
		}
	}
	n.measureLetters(ctx)
}

// measureLetters counts the dead letters that are kept.
func (n *node) measureLetters(ctx context.Context) {
	if n.letters == nil {
		return
	}
	if n.census == nil {
		n.census = n.letters.NewCensus()
	}
	if err := n.census.Renew(ctx); err != nil {
		if ctx.Err() == nil {
			n.log.Debug("dead letters not counted", "err", err)
		}
		return
	}
	counts := n.census.Counts()
	for _, app := range n.rosters.Current().Apps() {
		counts[app] += 0
	}
	for app, count := range counts {
		n.metrics.DeadLettersKept.With(app.String()).Set(float64(count))
	}
}

// measureBacklog counts the input behind the newest event that any partition
// here has decided: all partitions share the stream, and its reader.
func (n *node) measureBacklog(ctx context.Context) {
	if n.ownership == nil {
		return
	}
	first, last, _, err := n.bus.InboundRange(ctx)
	if err != nil {
		return // the streams' condition says so
	}
	decided := max(n.decided, first-min(first, 1))
	n.metrics.InboundBacklogEvents.Set(float64(last - min(last, decided)))
}
