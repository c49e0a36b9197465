package lifecycle

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Level is how bad a condition is.
type Level int

// Levels, from good to bad.
const (
	// OK means nothing is wrong.
	OK Level = iota
	// Degraded means that the process works, but an operator should look.
	Degraded
	// NotReady means that the process cannot do its work now.
	NotReady
)

// String returns ok, degraded or not ready.
func (l Level) String() string {
	switch l {
	case OK:
		return "ok"
	case Degraded:
		return "degraded"
	case NotReady:
		return "not ready"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Condition is one named fact about the process.
type Condition struct {
	// Name is short and constant.
	Name string `json:"name"`
	// Level is how bad it is.
	Level Level `json:"level"`
	// Reason says why, for people; empty when all is well.
	Reason string `json:"reason,omitempty"`
}

// Health holds the conditions of a process and serves them. The zero value is
// ready to use and well. All methods are safe for concurrent use.
type Health struct {
	mu struct { // nothing that blocks may be done under it
		sync.Mutex
		conditions map[string]Condition
		notes      map[string]string
	}
}

// Set replaces the condition of that name. A condition that is set to OK stays
// in the list, so that its absence never looks like health.
func (h *Health) Set(name string, level Level, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.conditions == nil {
		h.mu.conditions = make(map[string]Condition)
	}
	h.mu.conditions[name] = Condition{Name: name, Level: level, Reason: reason}
}

// Clear removes the condition of that name.
func (h *Health) Clear(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.mu.conditions, name)
}

// Note sets a constant fact that is shown beside the conditions, for example
// the durability class.
func (h *Health) Note(name, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.notes == nil {
		h.mu.notes = make(map[string]string)
	}
	h.mu.notes[name] = value
}

// Level returns the worst level of all conditions.
func (h *Health) Level() Level {
	return h.report().Status
}

// Conditions returns all conditions, the worst first, then by name.
func (h *Health) Conditions() []Condition {
	return h.report().Conditions
}

// report is the body of /readyz.
type report struct {
	Status     Level             `json:"status"`
	Notes      map[string]string `json:"notes,omitempty"`
	Conditions []Condition       `json:"conditions"`
}

func (h *Health) report() report {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := report{Conditions: make([]Condition, 0, len(h.mu.conditions)), Notes: make(map[string]string, len(h.mu.notes))}
	for _, c := range h.mu.conditions {
		r.Conditions = append(r.Conditions, c)
		r.Status = max(r.Status, c.Level)
	}
	maps.Copy(r.Notes, h.mu.notes)
	slices.SortFunc(r.Conditions, func(a, b Condition) int {
		if a.Level != b.Level {
			return int(b.Level - a.Level)
		}
		return strings.Compare(a.Name, b.Name)
	})
	return r
}

// Live answers /healthz: 200 as long as the process can answer at all.
func (h *Health) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeReport(w, r, http.StatusOK, report{Status: OK, Conditions: []Condition{}})
	})
}

// Ready answers /readyz with all conditions as JSON: 200 when well or degraded,
// 503 when not ready.
func (h *Health) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := h.report()
		status := http.StatusOK
		if now.Status >= NotReady {
			status = http.StatusServiceUnavailable
		}
		writeReport(w, r, status, now)
	})
}

// Handler serves /healthz and /readyz and nothing else.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/healthz", h.Live())
	mux.Handle("/readyz", h.Ready())
	return mux
}

func writeReport(w http.ResponseWriter, r *http.Request, status int, body report) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil { // cannot be: strings and levels
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}
