package main

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/demoapps"
)

// sample is a metric with its labels, as /metrics has it.
func (d *desk) sample(name string) float64 {
	d.t.Helper()
	_, body := get(d.t, http.DefaultClient, d.admin+"/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return 0
	}
	return must(strconv.ParseFloat(m[1], 64))
}

// rises waits until a metric is above what it was.
func (d *desk) rises(name string, was float64) {
	d.t.Helper()
	await(d.t, func() bool { return d.sample(name) > was }, func() string {
		_, body := get(d.t, http.DefaultClient, d.admin+"/metrics")
		family, _, _ := strings.Cut(name, "{")
		return name + " stays; there are\n" + strings.Join(regexp.MustCompile(`(?m)^`+family+`.*$`).FindAllString(body, -1), "\n")
	})
}

func post(t *testing.T, url, contentType, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestMetricsFollowTheTraffic(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.greet()
	if _, err := d.dev.apps.Send(t.Context(), demoapps.Survey, defaultPerson, "Buy one, get one free!"); err == nil {
		t.Fatal("the send was not refused")
	}
	d.ok("thread pass " + devThread + " live-agent")
	public := d.dev.node.publicURL()
	if status := post(t, public+"/webhook", "application/json", `{"object":"page","entry":[]}`); status != http.StatusForbidden {
		t.Error("an unsigned webhook:", status)
	}
	post(t, public+"/me/messages?access_token=stolen", "application/json", `{"recipient":{"id":"1"},"message":{"text":"x"}}`)
	expired := d.sample("baton_expiries_total")
	d.ok("sim clock +25h")
	for _, name := range []string{
		`baton_webhooks_total{result="ok"}`, `baton_webhooks_total{result="bad_signature"}`, `baton_events_total{kind="message",object="page"}`,
		`baton_decisions_total{kind="assigned"}`, `baton_decisions_total{kind="passed"}`, `baton_refusals_total{reason="SEND_NOT_OWNER",verb="send"}`,
		`baton_deliveries_total{app="700000000000001",channel="messaging",outcome="delivered"}`,
		`baton_deliveries_total{app="700000000000002",channel="standby",outcome="delivered"}`,
		`baton_delivery_seconds_count{app="700000000000001"}`, `baton_log_records_total`, `baton_log_append_seconds_count`,
		`baton_unauthenticated_calls_total{surface="webhook"}`, `baton_unauthenticated_calls_total{surface="graph"}`,
		`baton_sends_total{outcome="confirmed"}`, `baton_stream_bytes{stream="BATON_LOG"}`, `baton_partitions_held`,
		`baton_build_info{version="` + Version + `"}`,
	} {
		d.rises(name, 0)
	}
	d.rises("baton_expiries_total", expired)
	if n := d.sample("baton_partitions_held"); n != 64 {
		t.Errorf("%v partitions held", n)
	}
	for _, name := range []string{"baton_partitions_halted", "baton_fenced_records_total", "baton_timers_stopped"} {
		if n := d.sample(name); n != 0 {
			t.Errorf("%s is %v", name, n)
		}
	}
	await(t, func() bool { return d.sample("baton_inbound_backlog_events") == 0 }, func() string { return "the backlog is not worked off" })
	d.namesAreKnown()
}

// rare metrics show when something goes wrong, and have labels: until then they
// have no line.
var rare = []string{"baton_dead_letters_total"}

// namesAreKnown compares what is served with the table of names.
func (d *desk) namesAreKnown() {
	t := d.t
	t.Helper()
	_, body := get(t, http.DefaultClient, d.admin+"/metrics")
	var served []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (baton_\S+)`).FindAllStringSubmatch(body, -1) {
		served = append(served, m[1])
	}
	for _, name := range telemetry.Names() {
		if !slices.Contains(served, name) && !slices.Contains(rare, name) {
			t.Errorf("%s is in the table and not served", name)
		}
	}
	for _, name := range served {
		if !slices.Contains(telemetry.Names(), name) {
			t.Errorf("%s is served and not in the table", name)
		}
	}
	if strings.Contains(body, "where is my order") || strings.Contains(body, devPerson) {
		t.Error("the metrics name people")
	}
}
