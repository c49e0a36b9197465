package fanout

import (
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/roster"
)

// The figures of issue 6 that need the role alone: go test -run xxx -bench
// Figure -benchtime 1x ./services/fanout. They report; they judge nothing that
// depends on the machine.

// ledger notes how deliveries ended.
type ledger struct {
	mu    sync.Mutex
	took  map[control.AppID][]time.Duration // since the decision
	count map[control.AppID]int
	deaf  bool // counts only
	bell  chan struct{}
	cool  []time.Duration // of threads that are not hot
}

func newLedger() *ledger {
	return &ledger{
		took:  map[control.AppID][]time.Duration{},
		count: map[control.AppID]int{}, bell: make(chan struct{}, 1),
	}
}

func (l *ledger) observers() Observers {
	return Observers{Finished: func(f Finished) {
		l.mu.Lock()
		l.count[f.App]++
		if !l.deaf {
			l.took[f.App] = append(l.took[f.App], f.Since)
		}
		if !l.deaf && f.App == control.AppID(faq) && !strings.HasPrefix(fmt.Sprint(f.Thread.Person), "6") {
			l.cool = append(l.cool, f.Since)
		}
		l.mu.Unlock()
		signal(l.bell)
	}}
}

// finished waits until an app has as many ends.
func (l *ledger) finished(app control.AppID, n int) {
	for {
		l.mu.Lock()
		have := l.count[app]
		l.mu.Unlock()
		if have >= n {
			return
		}
		<-l.bell
	}
}

// forget begins the measurement anew.
func (l *ledger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took, l.cool, l.deaf = map[control.AppID][]time.Duration{}, nil, false
}

func (l *ledger) p99(list []time.Duration) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	list = slices.Clone(list)
	slices.Sort(list)
	if len(list) == 0 {
		return 0
	}
	return float64(list[len(list)*99/100].Microseconds()) / 1000
}

// resident is this process's memory, in MiB.
func resident() float64 {
	runtime.GC()
	debug.FreeOSMemory()
	data, _ := os.ReadFile("/proc/self/statm")
	var size, pages float64
	_, _ = fmt.Sscan(string(data), &size, &pages)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// ordered is a remote endpoint that checks the order of each thread.
func ordered(app roster.App, h *hook) roster.App {
	app.CallbackURL = h.URL + "/ordered"
	return app
}

func (w *world) remote(tb testing.TB) *hook {
	tb.Helper()
	return &hook{w: w, secret: "s", token: "verify", Server: &httptest.Server{URL: startEndpoint(tb)}}
}

// BenchmarkFigureHotThreads: 10 threads of which 7 % of the POSTs fail, beside 100
// that never fail; 30 events a second for each hot one, 3 for each of the others.
func BenchmarkFigureHotThreads(b *testing.B) {
	w, l := newWorld(b), newLedger()
	end := w.remote(b)
	w.adopt(document(ordered(appEntry(faq, end), end)))
	n := w.start(func(c *Config, d *Deps) { c.SaveEvery, d.Observers = time.Second, l.observers() })
	w.until("verified", func() bool { st, ok := n.Status(control.AppID(faq)); return ok && st.Verified })
	sent := 0
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	run := func(busy uint64, seconds int) (p99 float64) {
		l.forget()
		for round := range 30 * seconds {
			<-tick.C
			for hot := range uint64(10) {
				w.say(busy+hot, "hot")
				sent++
			}
			for cool := round % 10; cool < 100; cool += 10 {
				w.say(9100000+uint64(cool), "cool")
				sent++
			}
		}
		return l.p99(l.cool)
	}
	for b.Loop() {
		b.ReportMetric(run(6700000, 15), "p99-calm-ms") // the same load, nothing fails
		b.ReportMetric(run(6600000, 15), "p99-cool-ms")
	}
	l.finished(control.AppID(faq), sent)
	b.ReportMetric(l.p99(l.took[control.AppID(faq)]), "p99-all-ms")
	b.ReportMetric(swaps(b, end.URL), "out-of-order")
	b.ReportMetric(float64(sent-l.count[control.AppID(faq)]), "lost")
}

// BenchmarkFigureManyApps: 500 apps, five to a page, over 10,000 threads.
func BenchmarkFigureManyApps(b *testing.B) {
	const pages, perPage, threads = 100, 5, 100
	w, l := newWorld(b), newLedger()
	ends := []*hook{w.remote(b), w.remote(b)}
	doc := roster.Document{Format: 1}
	for p := range pages {
		page := roster.Page{ID: fmt.Sprint(acme + uint64(p)), Object: "page", Routing: roster.Routing{Mode: "handover"}}
		for i := range perPage {
			app := appEntry(faq+uint64(p*perPage+i), ends[i%2])
			doc.Apps = append(doc.Apps, app)
			page.Apps = append(page.Apps, roster.Connection{App: app.ID, Tasks: []string{"MESSAGING"}})
		}
		doc.Pages = append(doc.Pages, page)
	}
	w.adopt(doc)
	empty := resident()
	n := w.start(func(c *Config, d *Deps) { c.SaveEvery, d.Observers = time.Second, l.observers() })
	started := time.Now()
	for {
		apps, verified := n.Apps(), 0
		for i := range apps {
			if apps[i].Verified {
				verified++
			}
		}
		if verified == pages*perPage {
			break
		}
		pass(10 * time.Millisecond)
	}
	shaken := time.Since(started)
	idle, used := resident(), cpu()
	begun, events := time.Now(), 0
	for b.Loop() {
		for t := range threads {
			for p := range pages {
				w.sayOn(acme+uint64(p), 9000+uint64(t), faq+uint64(p*perPage))
				events++
			}
		}
	}
	for p := range pages {
		for i := range perPage {
			l.finished(control.AppID(faq+uint64(p*perPage+i)), events/pages)
		}
	}
	b.ReportMetric(float64(perPage*events)/time.Since(begun).Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(perPage*events), "cpu-us/delivery")
	b.ReportMetric(shaken.Seconds(), "handshakes-s")
	b.ReportMetric(idle-empty, "MiB-500-apps")
	b.ReportMetric(resident()-idle, "MiB-under-load")
}

// sayOn is one event on a page's thread that an app owns.
func (w *world) sayOn(asset, person, owner uint64) {
	w.t.Helper()
	key := control.ThreadKey{Asset: asset, Person: person}
	p := partition.Of(key, testPartitions)
	ref := w.arriveIn(p, asset, person, string(benchElement))
	w.decide(p, w.version(), eventlog.Entry{Thread: key, Event: control.Routed{
		Input: ref[0], Kind: control.KindMessage, Audience: control.ToOwner, Owner: control.AppID(owner),
	}})
}

// BenchmarkFigureMillionWaiting: an app is away while a million events are
// decided, then comes back; another one is there all the time.
func BenchmarkFigureMillionWaiting(b *testing.B) {
	for b.Loop() {
		w, l := newWorld(b), newLedger()
		l.deaf = true
		end := w.remote(b)
		away, there := ordered(appEntry(faq, end), end), appEntry(agent, w.remote(b))
		w.adopt(document(away, there))
		n := w.start(func(c *Config, d *Deps) { c.SaveEvery, d.Observers = time.Second, l.observers() })
		other := control.AppID(agent)
		w.until("verified", func() bool { st, ok := n.Status(other); return ok && st.Verified })
		w.steer(Order{Verb: "pause", Partition: -1})
		sent := w.backlog(20_000, 500)
		l.finished(other, sent)
		before := resident()
		sent += w.backlog(1_000_000, 500)
		l.finished(other, sent)
		after := resident()
		b.ReportMetric(after-before, "MiB-million-waiting")

		live := func() float64 { // the other's p99 under a light load
			l.forget()
			for range 300 {
				w.say(9001, "live")
				sent++
				pass(5 * time.Millisecond)
			}
			l.finished(other, sent)
			return l.p99(l.took[other])
		}
		b.ReportMetric(live(), "p99-other-before-ms")
		begun, waiting := time.Now(), sent-l.count[control.AppID(faq)]
		w.steer(Order{Verb: "resume", Partition: -1})
		b.ReportMetric(live(), "p99-other-during-ms")
		st, _ := n.Status(control.AppID(faq))
		b.ReportMetric(float64(st.Unread), "unread-after-during")
		l.finished(control.AppID(faq), sent)
		b.ReportMetric(float64(waiting)/time.Since(begun).Seconds(), "catch-up-events/s")
		b.ReportMetric(resident()-before, "MiB-at-the-end")
		b.ReportMetric(swaps(b, end.URL), "out-of-order")
	}
}
