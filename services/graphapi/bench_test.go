package graphapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// atOnce answers every question at once.
type atOnce struct{}

func (atOnce) Ask(context.Context, int, *commandv1.Request, time.Duration) (*commandv1.Response, error) {
	return &commandv1.Response{Status: commandv1.Status_STATUS_OK, Epoch: 1}, nil
}

// discarded is an answer that nobody reads.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(status int)      { d.status = status }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkControlCall is a take without what the server and the holder do.
func BenchmarkControlCall(b *testing.B) {
	snapshot := compiled(b, testRoster)
	s, err := New(Default(partitions), Deps{
		Roster: func() *roster.Snapshot { return snapshot }, Holder: atOnce{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.NewReader("")
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v25.0/me/take_thread_control?access_token=TA", body)
	r.Header.Set("Content-Type", "application/json")
	w := &discarded{header: http.Header{}}
	call := `{"recipient":{"id":"` + person + `"}}`
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(call)
		r.ContentLength = int64(len(call))
		clear(w.header)
		if s.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
}
