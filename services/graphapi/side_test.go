package graphapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// unconfirmed answers sends and reads as long as the side is not confirmed:
// reads times, then it is.
func (w *world) unconfirmed(reads int) {
	w.holder.faulty(func(q *commandv1.Request) (*commandv1.Response, bool) {
		if q.GetSend() == nil && q.GetReadOwner() == nil {
			return nil, false
		}
		a := w.holder.decide(q)
		a.Epoch, a.SideUnconfirmed = 7, reads > 0
		if q.GetReadOwner() != nil {
			reads--
		}
		return a, true
	})
}

func TestSendWaitsForTheConfirmedSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unconfirmed(2)
	w.ok(w.post("messages", "TA", text(person)))
	w.wantOutcomes(control.OutcomeConfirmed)
}

func TestSendIsAbandonedWhenTheSideStaysUnconfirmed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.ForwardWithin = 300 * time.Millisecond })
	w.unconfirmed(1000)
	if g := w.post("messages", "TA", text(person)); g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.wantOutcomes(control.OutcomeAbandoned)
	if len(w.platform.calls()) != 0 {
		t.Error("forwarded")
	}
}

func TestTraceOfTheCallerIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.api.URL+"/me/nothing?access_token=TA", http.NoBody)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if e := w.refused(w.do(r), 100, 33); e.Error.Trace != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("trace %s", e.Error.Trace)
	}
}

func TestObserverHearsOfCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type seen struct {
		edge         string
		status, code int
	}
	heard := make(chan seen, 4)
	sends := make(chan string, 1)
	w.service.deps.Observe = Observer{
		Called:    func(edge string, status, code int, _ time.Duration) { heard <- seen{edge, status, code} },
		Forwarded: func(outcome string, _ time.Duration) { sends <- outcome },
	}
	w.post("messages", "TA", text(person))
	w.post("nonsense", "TA", "{}")
	if got := <-heard; got != (seen{"messages", 200, 0}) {
		t.Errorf("%+v", got)
	}
	if got := <-heard; got != (seen{"other", 400, 100}) {
		t.Errorf("%+v", got)
	}
	if got := <-sends; got != "confirmed" {
		t.Errorf("%s", got)
	}
}
