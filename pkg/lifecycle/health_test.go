package lifecycle_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/lifecycle"
)

func ask(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Body.String()
}

func TestReadyTellsEveryReason(t *testing.T) {
	t.Parallel()
	var h lifecycle.Health
	h.Note("durability", "node")
	h.Set("bus", lifecycle.OK, "")
	h.Set("clock", lifecycle.Degraded, "stepped by 7s, timers stopped")
	if code, _ := ask(t, h.Handler(), http.MethodGet, "/readyz"); code != http.StatusOK {
		t.Errorf("degraded: status %d", code)
	}
	h.Set("partition 3", lifecycle.NotReady, "halted: hash differs")
	code, body := ask(t, h.Handler(), http.MethodGet, "/readyz")
	if code != http.StatusServiceUnavailable {
		t.Errorf("not ready: status %d", code)
	}
	want := map[string]any{
		"status": "not ready",
		"notes":  map[string]any{"durability": "node"},
		"conditions": []any{
			map[string]any{"name": "partition 3", "level": "not ready", "reason": "halted: hash differs"},
			map[string]any{"name": "clock", "level": "degraded", "reason": "stepped by 7s, timers stopped"},
			map[string]any{"name": "bus", "level": "ok"},
		},
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	h.Clear("partition 3")
	h.Set("clock", lifecycle.OK, "")
	if h.Level() != lifecycle.OK || len(h.Conditions()) != 2 {
		t.Errorf("level %s, conditions %v", h.Level(), h.Conditions())
	}
}

func TestHealthzIsAlwaysWell(t *testing.T) {
	t.Parallel()
	var h lifecycle.Health
	h.Set("bus", lifecycle.NotReady, "down")
	if code, _ := ask(t, h.Handler(), http.MethodGet, "/healthz"); code != http.StatusOK {
		t.Errorf("status %d", code)
	}
	if code, _ := ask(t, h.Handler(), http.MethodPost, "/readyz"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", code)
	}
	if code, _ := ask(t, h.Handler(), http.MethodGet, "/other"); code != http.StatusNotFound {
		t.Errorf("other path: status %d", code)
	}
}
