package telemetry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/telemetry"
)

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetricsCount(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("1.2.3")
	m.Webhooks.With("ok").Inc()
	m.Webhooks.With("ok").Add(2)
	m.OwnedThreads.With("700").Set(5)
	m.OwnedThreads.With("700").Add(-1)
	m.LogAppendSeconds.Observe(3 * time.Millisecond)
	m.DeliverySeconds.With("700").Observe(time.Second)
	body := scrape(t, m)
	for _, line := range []string{
		`baton_webhooks_total{result="ok"} 3`,
		`baton_owned_threads{app="700"} 4`,
		`baton_log_append_seconds_bucket{le="0.0025"} 0`,
		`baton_log_append_seconds_bucket{le="0.005"} 1`,
		`baton_delivery_seconds_sum{app="700"} 1`,
		`baton_build_info{version="1.2.3"} 1`,
		`baton_expiries_total 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	m.OwnedThreads.Forget("700")
	if strings.Contains(scrape(t, m), `baton_owned_threads{`) {
		t.Error("a forgotten app is still there")
	}
}

// Every field of Metrics is set, and is commented with the name that it has.
func TestEveryMetricIsInTheTable(t *testing.T) {
	t.Parallel()
	names := telemetry.Names()
	shape := regexp.MustCompile(`^baton_[a-z_]+$`)
	for _, name := range names {
		if !shape.MatchString(name) {
			t.Errorf("name %s", name)
		}
	}
	m := reflect.ValueOf(telemetry.NewMetrics("")).Elem()
	fields := 0
	for i := range m.NumField() {
		if m.Type().Field(i).IsExported() {
			fields++
			if m.Field(i).IsZero() {
				t.Errorf("%s is not made", m.Type().Field(i).Name)
			}
		}
	}
	if fields != len(names) || fields != 41 {
		t.Errorf("%d fields, %d names", fields, len(names))
	}
}

func TestZeroMetricsDoNothing(t *testing.T) {
	t.Parallel()
	var m telemetry.Metrics
	m.Webhooks.With("ok").Inc()
	m.Webhooks.Forget("ok")
	m.Expiries.Inc()
	m.PartitionsHeld.Set(1)
	m.PartitionsHeld.Add(1)
	m.DeliverySeconds.With("a").Observe(time.Second)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics("")
	for i := range 10_000 {
		m.Refusals.With("take", fmt.Sprint(i)).Inc()
	}
	m.Deliveries.With(strings.Repeat("x", 1000), "bad\xff\xfe", "ok").Inc()
	body := scrape(t, m)
	if n := strings.Count(body, "\nbaton_refusals_total{"); n != 2001 {
		t.Errorf("%d children", n)
	}
	if !strings.Contains(body, `baton_refusals_total{reason="other",verb="other"} 8000`) {
		t.Error("what is beyond the bound is not counted")
	}
	if !strings.Contains(body, `{app="`+strings.Repeat("x", 64)+`",channel="bad?",outcome="ok"} 1`) {
		t.Error("long or invalid values are not cut")
	}
}

func TestWrongNumberOfLabelsPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	telemetry.NewMetrics("").Webhooks.With("a", "b")
}

func BenchmarkCounterWith(b *testing.B) {
	m := telemetry.NewMetrics("")
	for b.Loop() {
		m.Refusals.With("take", "not_owner").Inc()
	}
}
