package telemetry

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is the table of everything that Baton counts. Its zero value counts
// nothing, for tests.
type Metrics struct {
	Webhooks             CounterVec   // baton_webhooks_total{result}
	Events               CounterVec   // baton_events_total{object,kind}
	Decisions            CounterVec   // baton_decisions_total{kind}
	Refusals             CounterVec   // baton_refusals_total{verb,reason}
	OwnedThreads         GaugeVec     // baton_owned_threads{app}
	Expiries             Counter      // baton_expiries_total
	Deliveries           CounterVec   // baton_deliveries_total{app,channel,outcome}
	DeliverySeconds      HistogramVec // baton_delivery_seconds{app}
	DeliveryAttempts     CounterVec   // baton_delivery_attempts_total{app,answer,failure}
	AppBreaker           GaugeVec     // baton_app_breaker{app}
	DeliveryLogDropped   Counter      // baton_delivery_log_dropped_total
	DeliveryLogBytes     Gauge        // baton_delivery_log_bytes
	AppLagEvents         GaugeVec     // baton_app_lag_events{app,stage}
	AppLagSeconds        GaugeVec     // baton_app_lag_seconds{app,stage}
	LogAppendSeconds     Histogram    // baton_log_append_seconds
	LogRecords           Counter      // baton_log_records_total
	Claims               Counter      // baton_claims_total
	ClaimReplayed        Counter      // baton_claim_replayed_records_total
	PartitionsHeld       Gauge        // baton_partitions_held
	PartitionsHalted     Gauge        // baton_partitions_halted
	DeliveriesHalted     Gauge        // baton_deliveries_halted
	StoreDamaged         Counter      // baton_store_damaged_total
	FencedRecords        Counter      // baton_fenced_records_total
	InboundBacklogEvents Gauge        // baton_inbound_backlog_events
	Commands             CounterVec   // baton_commands_total{verb,result}
	CommandQueueFull     Counter      // baton_command_queue_full_total
	ControlTopicLag      Gauge        // baton_control_topic_lag_events
	TimersStopped        Gauge        // baton_timers_stopped
	Sends                CounterVec   // baton_sends_total{outcome}
	PlatformRequests     CounterVec   // baton_platform_requests_total{edge,outcome}
	SideDrift            Counter      // baton_side_drift_total
	DeadLetters          CounterVec   // baton_dead_letters_total{app,reason}
	DeadLettersKept      GaugeVec     // baton_dead_letters_kept{app}
	InboundRetention     Gauge        // baton_inbound_retention_seconds
	UnauthenticatedCalls CounterVec   // baton_unauthenticated_calls_total{surface}
	StreamBytes          GaugeVec     // baton_stream_bytes{stream}
	StreamLimitBytes     GaugeVec     // baton_stream_limit_bytes{stream}
	SnapshotAgeSeconds   Gauge        // baton_snapshot_age_seconds
	SnapshotBytes        Gauge        // baton_snapshot_bytes
	SnapshotFailures     Counter      // baton_snapshot_failures_total
	BuildInfo            GaugeVec     // baton_build_info{version}

	registry *registry
}

// NewMetrics returns the metrics of a process, all of them at zero, with a
// registry of their own. version is what baton_build_info says.
func NewMetrics(version string) *Metrics {
	r := &registry{prom: prometheus.NewRegistry()}
	r.prom.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{registry: r}
	m.input(r)
	m.log(r)
	m.output(r)
	m.storage(r)
	m.BuildInfo.With(version).Set(1)
	return m
}

func (m *Metrics) input(r *registry) {
	m.Webhooks = r.counters("baton_webhooks_total", "Webhook requests from the platform, by result.", "result")
	m.Events = r.counters("baton_events_total", "Webhook events taken in, by object and kind.", "object", "kind")
	m.InboundBacklogEvents = r.gauge("baton_inbound_backlog_events", "Events made durable but not decided yet, on the partitions held here.")
	m.Commands = r.counters("baton_commands_total", "Commands answered, by verb and result.", "verb", "result")
	m.CommandQueueFull = r.counter("baton_command_queue_full_total", "Commands refused because a partition's queue was full.")
	m.UnauthenticatedCalls = r.counters("baton_unauthenticated_calls_total", "Calls without valid credentials, by surface.", "surface")
}

func (m *Metrics) log(r *registry) {
	m.Decisions = r.counters("baton_decisions_total", "Events decided, by kind.", "kind")
	m.Refusals = r.counters("baton_refusals_total", "Calls refused by the rules, by verb and reason.", "verb", "reason")
	m.OwnedThreads = r.gauges("baton_owned_threads", "Threads that an app has control of, on the partitions held here.", "app")
	m.Expiries = r.counter("baton_expiries_total", "Control lost through inactivity.")
	m.LogAppendSeconds = r.histogram("baton_log_append_seconds", "Time to make one group record durable.", appendBuckets())
	m.LogRecords = r.counter("baton_log_records_total", "Group records written.")
	m.Claims = r.counter("baton_claims_total", "Partitions claimed by this node.")
	m.ClaimReplayed = r.counter("baton_claim_replayed_records_total", "Records that nodes lacked when they claimed, and replayed first.")
	m.PartitionsHeld = r.gauge("baton_partitions_held", "Partitions that this node holds.")
	m.PartitionsHalted = r.gauge("baton_partitions_halted", "Partitions that are halted on this node: they take no work here.")
	m.DeliveriesHalted = r.gauge("baton_deliveries_halted", "Partitions whose events are not delivered here, because their log or cursor cannot be followed.")
	m.StoreDamaged = r.counter("baton_store_damaged_total", "Times that a file of the store did not read as it was written.")
	m.FencedRecords = r.counter("baton_fenced_records_total", "Records of an older epoch found after a claim, skipped; more than 0 means that the log is damaged.")
	m.ControlTopicLag = r.gauge("baton_control_topic_lag_events", "Control changes decided but not on the topic yet.")
	m.TimersStopped = r.gauge("baton_timers_stopped", "1 while nothing expires because the clock is in doubt.")
}

func (m *Metrics) output(r *registry) {
	m.Deliveries = r.counters("baton_deliveries_total", "Deliveries that ended, by app, channel and outcome.", "app", "channel", "outcome")
	m.DeliverySeconds = r.histograms("baton_delivery_seconds", "Time of one delivery request, by app.", deliveryBuckets(), "app")
	m.DeliveryAttempts = r.counters("baton_delivery_attempts_total", "Delivery requests, by app, class of the answer and step that failed.", "app", "answer", "failure")
	m.AppBreaker = r.gauges("baton_app_breaker", "State of an app's breaker: 0 closed, 1 open, 2 half open.", "app")
	m.DeliveryLogDropped = r.counter("baton_delivery_log_dropped_total", "Exchanges that the node's delivery log had no room or time for.")
	m.DeliveryLogBytes = r.gauge("baton_delivery_log_bytes", "Bytes in the node's delivery log.")
	m.AppLagEvents = r.gauges("baton_app_lag_events", "Events that an app has not got yet, by stage.", "app", "stage")
	m.AppLagSeconds = r.gauges("baton_app_lag_seconds", "Age of the oldest event that an app has not got yet, by stage.", "app", "stage")
	m.DeadLetters = r.counters("baton_dead_letters_total", "Events given up for an app, by reason.", "app", "reason")
	m.DeadLettersKept = r.gauges("baton_dead_letters_kept", "Dead letters that are neither delivered again nor dropped, by app, in the whole installation; at most 200,000 are counted.", "app")
	m.Sends = r.counters("baton_sends_total", "Sends of apps, by outcome.", "outcome")
	m.PlatformRequests = r.counters("baton_platform_requests_total", "Requests to the platform, by edge and outcome.", "edge", "outcome")
	m.SideDrift = r.counter("baton_side_drift_total", "Threads whose owner on the platform was not the one in the log.")
}

func (m *Metrics) storage(r *registry) {
	m.StreamBytes = r.gauges("baton_stream_bytes", "Bytes in a stream.", "stream")
	m.StreamLimitBytes = r.gauges("baton_stream_limit_bytes", "Limit of a stream in bytes; 0 for none.", "stream")
	m.InboundRetention = r.gauge("baton_inbound_retention_seconds", "How long the input is kept (retention.inbound); 0 for ever.")
	m.SnapshotAgeSeconds = r.gauge("baton_snapshot_age_seconds", "Age of the newest snapshot of the stores; 0 while there is none.")
	m.SnapshotBytes = r.gauge("baton_snapshot_bytes", "Size of the newest snapshot.")
	m.SnapshotFailures = r.counter("baton_snapshot_failures_total", "Attempts to take a snapshot, or to see what there is, that failed on this node.")
	m.BuildInfo = r.gauges("baton_build_info", "Always 1; the version is in the label.", "version")
}

// appendBuckets: 0.1 ms in memory to seconds of an election.
func appendBuckets() []float64 {
	return []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

func deliveryBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
}

// Handler serves the metrics in the Prometheus text format.
func (m *Metrics) Handler() http.Handler {
	if m.registry == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry.prom, promhttp.HandlerOpts{})
}

// Names returns the names of all of Baton's metrics, sorted.
func Names() []string {
	names := slices.Clone(NewMetrics("").registry.names)
	slices.Sort(names)
	return names
}
