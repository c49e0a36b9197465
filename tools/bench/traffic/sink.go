package traffic

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/tools/bench/wire"
)

// SinkSpec says what a sink receives.
type SinkSpec struct {
	Apps, Threads int
	// Secret signs what the apps receive.
	Secret string
	// Verify is the verify token of the handshake.
	Verify string
}

// Sink is a server that plays the apps of an installation, /app/0 and so on.
type Sink struct {
	spec   SinkSpec
	signer *Signer
	apps   []*sinkApp
	host   string
}

type sinkApp struct {
	*ledger
	delay  atomic.Int64 // ns before each answer
	status atomic.Int64 // of each answer; what is not answered with 200 counts as not received
}

// NewSink prepares a sink that will listen at host.
func NewSink(spec SinkSpec, host string) *Sink {
	s := &Sink{spec: spec, signer: NewSigner(spec.Secret), host: host}
	for range spec.Apps {
		app := &sinkApp{ledger: newLedger(spec.Threads)}
		app.status.Store(200)
		s.apps = append(s.apps, app)
	}
	return s
}

// ServeSink runs a sink on a free loopback port until ctx ends, ready gets it
// once it listens.
func ServeSink(ctx context.Context, spec SinkSpec, ready func(*Sink)) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := NewSink(spec, ln.Addr().String())
	ready(s)
	return wire.Serve(ctx, ln, s.answer)
}

// Callback is the URL of an app.
func (s *Sink) Callback(app int) string { return "http://" + s.host + "/app/" + strconv.Itoa(app) }

func (s *Sink) answer(r *wire.Request) (int, []byte) {
	now := time.Now()
	path, query, _ := strings.Cut(r.Target, "?")
	n, err := strconv.Atoi(strings.TrimPrefix(path, "/app/"))
	if err != nil || n < 0 || n >= len(s.apps) {
		return 404, nil
	}
	if r.Method == "GET" {
		return s.challenge(query)
	}
	app := s.apps[n]
	if d := app.delay.Load(); d > 0 {
		<-time.After(time.Duration(d))
	}
	status := int(app.status.Load())
	if status == 200 {
		app.take(r.Body, now, s.signer.Signed(r.Body, r.Signature))
	}
	return status, nil
}

// challenge is the handshake of a callback.
func (s *Sink) challenge(query string) (int, []byte) {
	q, err := url.ParseQuery(query)
	if err != nil || q.Get("hub.verify_token") != s.spec.Verify {
		return 403, nil
	}
	return 200, []byte(q.Get("hub.challenge"))
}

// SinkOrder is what a sink is told, one at a time.
type SinkOrder struct {
	// Do is reset, await, behave or tally.
	Do string
	// Apps are those meant; none for all.
	Apps []int
	// Count of deliveries to await at each app; Quiet is how long without any
	// ends the wait.
	Count uint64
	Quiet time.Duration
	// Further keeps the latencies at a reset: those to come are added.
	Further bool
	// Delay and Status of each answer, to behave.
	Delay  time.Duration
	Status int
}

// SinkReport is what the apps meant have received.
type SinkReport struct {
	Apps []Tally
	// All is the latency over all of them.
	All Latency
}

// Obey carries out an order and reports on the apps meant.
func (s *Sink) Obey(ctx context.Context, o SinkOrder) (SinkReport, error) {
	apps, err := s.meant(o.Apps)
	if err != nil {
		return SinkReport{}, err
	}
	switch o.Do {
	case "reset":
		for _, a := range apps {
			a.reset(o.Further)
		}
	case "await":
		s.await(ctx, apps, o)
	case "behave":
		for _, a := range apps {
			a.delay.Store(int64(o.Delay))
			a.status.Store(int64(o.Status))
		}
	case "tally":
	default:
		return SinkReport{}, fmt.Errorf("sink: unknown order %q", o.Do)
	}
	var report SinkReport
	var all histogram
	for _, a := range apps {
		report.Apps = append(report.Apps, a.sum(&all))
	}
	report.All = all.latency()
	return report, nil
}

func (s *Sink) meant(which []int) ([]*sinkApp, error) {
	if len(which) == 0 {
		return s.apps, nil
	}
	var apps []*sinkApp
	for _, i := range which {
		if i < 0 || i >= len(s.apps) {
			return nil, fmt.Errorf("sink: no app %d", i)
		}
		apps = append(apps, s.apps[i])
	}
	return apps, nil
}

// await waits until every app has its deliveries, or none came for a while.
func (s *Sink) await(ctx context.Context, apps []*sinkApp, o SinkOrder) {
	quiet := time.NewTicker(max(o.Quiet, time.Millisecond))
	defer quiet.Stop()
	last := uint64(0)
	for _, a := range apps {
		for reached, waiting := a.await(o.Count), true; waiting; {
			select {
			case <-reached:
				waiting = false
			case <-ctx.Done():
				return
			case <-quiet.C:
				now := received(apps)
				if now == last {
					return
				}
				last = now
			}
		}
	}
}

func received(apps []*sinkApp) (sum uint64) {
	for _, a := range apps {
		sum += a.count()
	}
	return sum
}

func digits(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
