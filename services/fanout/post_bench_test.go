package fanout

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// BenchmarkPost is what one POST of one event costs this process in CPU, by
// workers that post one after the other, beside the bare write and read of as many
// bytes to the same endpoint, below which no exchange can be. The two take turns,
// so that what else the machine does meets both: go test -run xxx -bench Post
// -benchtime 50000x ./services/fanout.
func BenchmarkPost(b *testing.B) {
	at := startEndpoint(b)
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var raws, posts []func()
			e := postEngine(b, at+"/hook", workers)
			for range workers {
				raws, posts = append(raws, rawPoster(b, strings.TrimPrefix(at, "http://"))), append(posts, poster(b, e))
			}
			share(raws, 8*workers) // opens the connections
			share(posts, 8*workers)
			var raw, post time.Duration
			b.ResetTimer()
			for left := b.N; left > 0; left -= 1000 {
				raw += share(raws, min(left, 1000))
				post += share(posts, min(left, 1000))
			}
			b.ReportMetric(float64(raw.Nanoseconds())/float64(b.N)/1000, "raw-us")
			b.ReportMetric(float64(post.Nanoseconds())/float64(b.N)/1000, "post-us")
			b.ReportMetric(float64(post)/float64(raw), "post/raw")
		})
	}
}

// share has workers take n turns between them and returns the CPU time of all.
func share(workers []func(), n int) time.Duration {
	var wg sync.WaitGroup
	used := cpu()
	for i, turn := range workers {
		wg.Go(func() {
			for range (n + i) / len(workers) {
				turn()
			}
		})
	}
	wg.Wait()
	return cpu() - used
}

// rawPoster writes the bytes of a POST and reads those of its answer.
func rawPoster(tb testing.TB, address string) func() {
	tb.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	body := `{"object":"page","entry":[{"id":"1","time":1790000000045,"messaging":[` + string(benchElement) + `]}]}`
	request := []byte("POST /hook HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=" +
		strings.Repeat("0", 64) + "\r\nX-Hub-Signature: sha1=" + strings.Repeat("0", 40) + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)
	answer := make([]byte, 4<<10)
	return func() {
		if _, err := conn.Write(request); err != nil {
			tb.Error(err)
		}
		if _, err := conn.Read(answer); err != nil {
			tb.Error(err)
		}
	}
}

func postEngine(b *testing.B, callback string, workers int) *engine {
	b.Helper()
	allow, err := egress.ParseAllow([]string{"127.0.0.1"})
	if err != nil {
		b.Fatal(err)
	}
	e := newEngine(engineParts{
		app:       App{ID: testApp, Callback: callback, Secret: []byte("secret"), MaxInFlight: workers},
		transport: egress.Transport(egress.Policy{Allow: allow, MaxConns: workers + 1}), log: quiet(), agent: "Baton/bench",
		observers: &Observers{}, bounds: bounds{letters: 8192, bytes: 8 << 20, floor: 1 << 16, shared: &budget{limit: 64 << 20}},
		sockets: &sockets{limit: 4096},
	})
	b.Cleanup(func() { e.drain(context.Background()) })
	return e
}

// poster posts one letter again and again.
func poster(tb testing.TB, e *engine) func() {
	tb.Helper()
	l := &letter{
		from: &counting{}, position: 7, thread: control.ThreadKey{Asset: 1, Person: 2}, channel: control.ChannelMessaging,
		at: 1790000000045, element: benchElement,
	}
	return func() {
		e.mu.Lock()
		b := &batch{app: e.mu.app, via: e.mu.transport}
		e.begin(b)
		b.letters = append(b.parcel.letters[:0], l)
		e.mu.Unlock()
		r := e.post(b)
		if r.status != http.StatusOK {
			tb.Errorf("status %d, %v", r.status, r.err)
		}
		e.mu.Lock()
		e.finish(b)
		e.mu.Unlock()
	}
}
