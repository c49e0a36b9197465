package fanout

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// null takes every POST at once.
type null struct{}

func (null) RoundTrip(req *http.Request) (*http.Response, error) {
	_ = req.Body.Close()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

func (null) CloseIdleConnections() {}

// counting is an origin that counts and signals the last letter.
type counting struct {
	left atomic.Int64
	done chan struct{}
}

func (c *counting) mayStart() bool { return true }
func (c *counting) renew()         {}
func (c *counting) finished(letters ...*letter) {
	if c.left.Add(-int64(len(letters))) == 0 {
		close(c.done)
	}
}
func (c *counting) failed(*letter, failure) {}

var benchElement = []byte(`{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"message":{"mid":"m_baton0001","text":"where is my order? ` + strings.Repeat("please answer ", 8) + `"}}`)

// runEngine delivers b.N letters of 1,000 threads through an engine.
func runEngine(b *testing.B, app App, transport Transport) {
	b.Helper()
	app.ID, app.Secret = testApp, []byte("secret")
	e := newEngine(engineParts{
		app: app, transport: transport, log: quiet(), agent: "Baton/bench", observers: &Observers{},
		bounds:  bounds{letters: 8192, bytes: 8 << 20, floor: 1 << 16, shared: &budget{limit: 64 << 20}},
		sockets: &sockets{limit: 4096}, throttle: &throttle{},
	})
	e.enable(e.settings())
	origin := &counting{done: make(chan struct{})}
	origin.left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; {
		letters := make([]*letter, min(256, b.N-sent))
		for i := range letters {
			sent++
			letters[i] = &letter{
				from: origin, position: control.Position(sent), thread: control.ThreadKey{Asset: 1, Person: uint64(sent % 1000)},
				channel: control.ChannelMessaging, at: 1790000000045, element: benchElement,
			}
		}
		for len(letters) > 0 {
			letters = letters[e.offer(letters):]
			if len(letters) > 0 {
				<-e.room
			}
		}
	}
	<-origin.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	e.drain(context.Background())
}

func BenchmarkEngineNullTransport(b *testing.B) {
	for _, batch := range []int{1, 20} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			runEngine(b, App{Callback: "http://null.test/", MaxInFlight: 16, MaxBatch: batch}, null{})
		})
	}
}

func BenchmarkEngineRealHTTP(b *testing.B) {
	for _, batch := range []int{1, 20} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(w, "EVENT_RECEIVED")
			}))
			defer srv.Close()
			allow, err := egress.ParseAllow([]string{"127.0.0.1"})
			if err != nil {
				b.Fatal(err)
			}
			runEngine(b, App{Callback: srv.URL, MaxInFlight: 16, MaxBatch: batch}, egress.Transport(egress.Policy{Allow: allow, MaxConns: 17}))
		})
	}
}

// BenchmarkPipeline is the whole role: records on a real server to a real
// endpoint of three apps.
func BenchmarkPipeline(b *testing.B) {
	w := newWorld(b)
	hooks := []*hook{w.hook("s1"), w.hook("s2"), w.hook("s3")}
	w.adopt(document(appEntry(faq, hooks[0]), appEntry(agent, hooks[1]), appEntry(agent+1, hooks[2])))
	n := w.start()
	w.until("verified", func() bool { return len(n.Apps()) == 3 && n.Apps()[2].Verified })
	texts := make([]string, 100)
	for i := range texts {
		texts[i] = fmt.Sprint("text ", i)
	}
	b.ResetTimer()
	events := 0
	for b.Loop() {
		w.say(9001+uint64(events%64), texts...)
		events += len(texts)
	}
	w.until("all delivered", func() bool {
		for _, st := range n.Apps() {
			if st.Undelivered > 0 || st.Unread > 0 {
				return false
			}
		}
		return len(hooks[0].ids()) >= events
	})
	b.ReportMetric(float64(3*events)/b.Elapsed().Seconds(), "deliveries/s")
}
