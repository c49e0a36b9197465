package fanout

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/roster"
)

// endpointEnv makes the test binary an app's endpoint: a process of its own, so
// that its work is not counted as fan-out's.
const endpointEnv = "BATON_TEST_ENDPOINT"

// serveEndpoint answers every POST and every challenge until standard input
// ends.
func serveEndpoint() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, _ = fmt.Fprintln(os.Stdout, ln.Addr())
	seen := order{last: map[string]uint64{}}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/swaps" {
			_, _ = fmt.Fprint(w, seen.swaps.Load())
			return
		}
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge"))
			return
		}
		body, _ := io.ReadAll(r.Body)
		// A person whose id begins with 66 is a hot one: 7 % of its POSTs fail.
		if bytes.Contains(body, []byte(`"sender":{"id":"66`)) && rand.IntN(100) < 7 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/ordered") {
			seen.check(r.Header.Get(headerDeliveryID), body)
		}
		_, _ = io.WriteString(w, "EVENT_RECEIVED")
	})}
	go func() { _ = server.Serve(ln) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// order is what an endpoint has taken: a thread's positions must grow.
type order struct {
	mu    sync.Mutex
	last  map[string]uint64
	swaps atomic.Int64
}

// sender finds the thread of each entry.
var sender = regexp.MustCompile(`"sender":\{"id":"(\d+)"`)

func (o *order) check(ids string, body []byte) {
	persons := sender.FindAllSubmatch(body, -1)
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, id := range strings.Split(ids, ",") {
		_, position, _ := strings.Cut(id, "-")
		n, err := strconv.ParseUint(position, 10, 64)
		if err != nil || i >= len(persons) || n < o.last[string(persons[i][1])] {
			o.swaps.Add(1)
			continue
		}
		o.last[string(persons[i][1])] = n
	}
}

// swaps asks an endpoint how many events came out of the order of their thread.
func swaps(tb testing.TB, address string) float64 {
	tb.Helper()
	resp, err := http.Get(address + "/swaps")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	var n float64
	if _, err := fmt.Fscan(resp.Body, &n); err != nil {
		tb.Fatal(err)
	}
	return n
}

// startEndpoint starts such a process and returns its address.
func startEndpoint(tb testing.TB) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), endpointEnv+"=1", "GOMAXPROCS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		tb.Fatal(err)
	}
	return "http://" + strings.TrimSpace(line)
}

// cpu is the CPU time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// backlog puts events into the log, some of each of many persons to a record.
// It returns how many there are: at least as many as asked for.
func (w *world) backlog(atLeast, perRecord int) (n int) {
	w.t.Helper()
	for ; n < atLeast; n += perRecord {
		person := uint64(9001 + n/perRecord%1000)
		elements := make([]string, perRecord)
		for i := range elements {
			elements[i] = strings.Replace(string(benchElement), "9001234567890123", fmt.Sprint(person), 1)
		}
		entries := make([]eventlog.Entry, perRecord)
		for i, ref := range w.arrive(person, elements...) {
			entries[i] = eventlog.Entry{Thread: thread(person), Event: control.Routed{
				Input: ref, Kind: control.KindMessage, Audience: control.ToOwner, Owner: control.AppID(faq),
			}}
		}
		w.decide(partitionOf(person), w.version(), entries...)
	}
	return n
}

// BenchmarkBacklog is the role alone, from a backlog to three apps whose
// endpoints are processes of their own: CPU per event of everything in this
// process, the server's reads included.
func BenchmarkBacklog(b *testing.B) {
	for _, batch := range []int{1, 20} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			w := newWorld(b)
			apps := make([]roster.App, 3)
			for i := range apps {
				h := &hook{w: w, secret: fmt.Sprint("s", i), token: "verify", Server: &httptest.Server{URL: startEndpoint(b)}}
				apps[i] = appEntry(faq+uint64(i), h)
				apps[i].Delivery.MaxBatch, apps[i].Delivery.MaxInFlight = batch, 8
			}
			w.adopt(document(apps...))
			events := w.backlog(b.N, 20)
			runtime.GC()
			debug.FreeOSMemory()
			used := cpu()
			b.ResetTimer()
			var left atomic.Int64
			done := make(chan struct{})
			left.Store(3 * int64(events))
			w.start(func(c *Config, d *Deps) {
				c.SaveEvery = time.Second
				d.Observers = Observers{Finished: func(Finished) {
					if left.Add(-1) == 0 {
						close(done)
					}
				}}
			})
			<-done
			b.StopTimer()
			b.ReportMetric(float64((cpu()-used).Microseconds())/float64(events), "cpu-us/event")
			b.ReportMetric(3*float64(events)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkBareTransport is what net/http alone costs for such a POST, from
// eight goroutines: the floor of the one above.
func BenchmarkBareTransport(b *testing.B) {
	url := startEndpoint(b) + "/webhook"
	t := &http.Transport{MaxConnsPerHost: 9, MaxIdleConnsPerHost: 9, WriteBufferSize: 16 << 10, DisableCompression: true}
	defer t.CloseIdleConnections()
	var left atomic.Int64
	left.Store(int64(b.N))
	used := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(benchElement))
				resp, err := t.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-used).Microseconds())/float64(b.N), "cpu-us/POST")
}
