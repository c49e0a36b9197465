package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// settleIn bounds the wait for deliveries and the topic after the load.
const settleIn = 40 * time.Second

// fact is one event of the log with its place.
type fact struct {
	eventlog.Entry
	partition uint32
	position  control.Position
	group     [16]byte
}

func (f *fact) id() string { return deliveryID(f.partition, f.position) }

func deliveryID(partition uint32, p control.Position) string {
	return strconv.FormatUint(uint64(partition), 10) + "-" + strconv.FormatUint(uint64(p), 10)
}

// replayEqual compares the running store with a replay of the log.
func (w *world) replayEqual() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), settleIn)
	defer cancel()
	resp, err := w.global().admin().Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
	if err != nil {
		w.t.Fatalf("replay: %v", err)
	}
	if !resp.Msg.GetEqual() {
		w.t.Errorf("the store differs from a replay of the log on partitions %v", resp.Msg.GetDiffer())
	}
}

// settle waits until every app has what it is to have.
func (w *world) settle(l *load) {
	w.t.Helper()
	mids := l.messages()
	w.t.Logf("%d webhooks and %d calls acknowledged, %d calls refused, %d without an answer",
		len(mids), len(l.successes()), l.refused, l.failed)
	if !within(settleIn, func() bool {
		for _, app := range crashApps() {
			if len(w.apps.missing(app, mids)) > 0 {
				return false
			}
		}
		return true
	}) {
		for _, app := range crashApps() {
			if missing := w.apps.missing(app, mids); len(missing) > 0 {
				w.t.Errorf("app %d has not got %d messages: %v", app, len(missing), missing[:min(5, len(missing))])
			}
		}
	}
	if !within(settleIn, w.topicIsCurrent) {
		w.t.Errorf("the control topic does not catch up")
	}
}

// topicIsCurrent looks at the lag that the node reports.
func (w *world) topicIsCurrent() bool {
	resp, err := w.get("/metrics")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "baton_control_topic_lag_events") {
			return strings.TrimSpace(value) == "0"
		}
	}
	return false
}

// inspect reads the data directory of a stopped node and checks all that must
// hold whatever happened.
func (w *world) inspect(l *load) {
	w.t.Helper()
	r := w.read()
	for _, fault := range r.faults {
		w.t.Errorf("log: %s", fault)
	}
	w.checkStore(r)
	w.checkInput(r, l.messages())
	w.checkCalls(r, l)
	w.checkTopic(r)
	w.checkDeliveries(r)
}

// checkStore compares the store with the streams, by the program's own means
// and by a fold of the stream.
func (w *world) checkStore(r *records) {
	w.t.Helper()
	verdict, err := verifyOffline(w.t.Context(), offline{DataDir: w.dataDir()})
	if err != nil || !verdict.GetOk() {
		w.t.Errorf("log verify --data-dir: %v %v", err, verdict.GetFaults())
	}
	resp, err := replayOffline(w.t.Context(), offline{DataDir: w.dataDir()})
	if err != nil {
		w.t.Errorf("replay --data-dir: %v", err)
		return
	}
	if !resp.GetEqual() {
		w.t.Error("the digest of the store is not that of its replay")
	}
	if got := resp.GetStoreDigest(); got != fmt.Sprintf("%x", r.digest[:]) {
		w.t.Error("the digest of the store is not that of the stream's fold")
	}
}

// checkInput: what was acknowledged is in the input, and every input event is
// decided exactly once.
func (w *world) checkInput(r *records, acknowledged []string) {
	w.t.Helper()
	decided := map[[16]byte]int{}
	for i := range r.facts {
		if routed, ok := r.facts[i].Event.(control.Routed); ok {
			decided[routed.Dedupe]++
		}
	}
	for _, in := range r.inbound {
		if decided[in.dedupe] != 1 {
			w.t.Errorf("input event %s was decided %d times", in.mid, decided[in.dedupe])
		}
	}
	w.checkStored(r, acknowledged)
}

// checkStored: what was acknowledged is in the input.
func (w *world) checkStored(r *records, acknowledged []string) {
	w.t.Helper()
	stored := map[string]bool{}
	for _, in := range r.inbound {
		stored[in.mid] = true
	}
	for _, mid := range acknowledged {
		if !stored[mid] {
			w.t.Errorf("webhook %s was answered 200 and is not in the input", mid)
		}
	}
}

// checkCalls: what was answered with success is in the log once, nothing is
// there twice, and no message was forwarded twice.
func (w *world) checkCalls(r *records, l *load) {
	w.t.Helper()
	marks := map[string]int{}
	causes := map[[16]byte][16]byte{}
	for i := range r.facts {
		f := &r.facts[i]
		if c, ok := control.ChangeOf(f.Event); ok && c.Metadata != "" {
			marks[c.Metadata]++
		}
		if sent, ok := f.Event.(control.SendConfirmed); ok {
			marks[sent.Mid]++
		}
		if f.Cause == [16]byte{} {
			continue
		}
		if group, ok := causes[f.Cause]; ok && group != f.group {
			w.t.Errorf("command %x was decided in two records, again at %s", f.Cause, f.id())
		}
		causes[f.Cause] = f.group
	}
	for mark, n := range marks {
		if n > 1 {
			w.t.Errorf("%s took effect %d times", mark, n)
		}
	}
	for _, done := range l.successes() {
		mark := done.mark
		if done.verb == "send" {
			mark = done.mid
		}
		if marks[mark] != 1 {
			w.t.Errorf("%s of %s was answered with success and is %d times in the log", done.verb, mark, marks[mark])
		}
	}
	for text, n := range w.platform.forwarded() {
		if n > 1 {
			w.t.Errorf("the message %q was forwarded %d times", text, n)
		}
	}
}

// checkTopic: each change of control is on the topic once, in order.
func (w *world) checkTopic(r *records) {
	w.t.Helper()
	want, got := map[string][]string{}, map[string][]string{}
	for i := range r.facts {
		if f := &r.facts[i]; eventlog.OnTopic(f.Event) {
			p := strconv.FormatUint(uint64(f.partition), 10)
			want[p] = append(want[p], f.id())
		}
	}
	for _, id := range r.topic {
		p, _, _ := strings.Cut(id, "-")
		got[p] = append(got[p], id)
	}
	for p := range r.partitions {
		key := strconv.Itoa(p)
		if !slices.Equal(got[key], want[key]) {
			w.t.Errorf("partition %d: %d changes on the control topic, %d in the log: %s", p, len(got[key]), len(want[key]), firstDifference(got[key], want[key]))
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return "missing from " + want[i]
		case i >= len(want):
			return "too many from " + got[i]
		case got[i] != want[i]:
			return got[i] + " instead of " + want[i]
		}
	}
	return "equal"
}

// checkDeliveries: each app got exactly what the log plans for it, each at
// least once, in the order of its threads but for repeats, always the same.
func (w *world) checkDeliveries(r *records) {
	w.t.Helper()
	for _, app := range crashApps() {
		got := w.apps.deliveries(app)
		w.checkOrder(app, got)
		ids := map[string]bool{}
		for _, d := range got {
			ids[d.id] = true
		}
		planned := 0
		for i := range r.facts {
			f := &r.facts[i]
			if !isPlanned(r.pageOf(f), f, app) {
				continue
			}
			planned++
			if !ids[f.id()] {
				w.t.Errorf("app %d has not got %s (%s)", app, f.id(), control.Name(f.Event))
			}
		}
		if planned != len(ids) {
			w.t.Errorf("app %d got %d different deliveries, the log plans %d", app, len(ids), planned)
		}
	}
}

// pageOf is the page that an event concerns.
func (r *records) pageOf(f *fact) *delivery.Page {
	if f.Thread.Asset == timerPage {
		return r.snapshot.Delivery(timerPage)
	}
	return r.snapshot.Delivery(crashPage)
}

// isPlanned reports whether an event is to be delivered to an app.
func isPlanned(page *delivery.Page, f *fact, app uint64) bool {
	e := delivery.Entry{Partition: int(f.partition), Position: f.position, Thread: f.Thread, Event: f.Event}
	return slices.ContainsFunc(delivery.Plan(page, e), func(d delivery.Delivery) bool { return uint64(d.App) == app })
}

func (w *world) checkOrder(app uint64, got []delivered) {
	w.t.Helper()
	last, first := map[string]uint64{}, map[string]delivered{}
	for _, d := range got {
		if before, ok := first[d.id]; ok {
			if before.element != d.element || before.channel != d.channel {
				w.t.Errorf("app %d: delivery %s came again with another content", app, d.id)
			}
			continue
		}
		first[d.id] = d
		_, position, _ := strings.Cut(d.id, "-")
		n, err := strconv.ParseUint(position, 10, 64)
		if err != nil {
			w.t.Errorf("app %d: delivery id %q", app, d.id)
		}
		if n <= last[d.thread] {
			w.t.Errorf("app %d: delivery %s of thread %s came after position %d", app, d.id, d.thread, last[d.thread])
		}
		last[d.thread] = n
	}
}

// awaitDeliveries waits until each app has every delivery that the log plans,
// as far as that can be seen from outside: nothing has come for a while.
func (w *world) awaitQuiet() {
	total := func() (n int) {
		for _, app := range crashApps() {
			n += len(w.apps.deliveries(app))
		}
		return n
	}
	last, since := total(), time.Now()
	within(settleIn, func() bool {
		if n := total(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 400*time.Millisecond
	})
}
