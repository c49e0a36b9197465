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

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// BenchmarkPost is what one POST of one event costs this process in CPU, by
// workers that post one after the other; "raw" is the bare write and read of as
// many bytes, below which no exchange can be: go test -run xxx -bench Post
// ./services/fanout.
func BenchmarkPost(b *testing.B) {
	at := startEndpoint(b)
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("raw/workers=%d", workers), func(b *testing.B) {
			share(b, workers, func() func() { return rawPoster(b, strings.TrimPrefix(at, "http://")) })
		})
		b.Run(fmt.Sprintf("post/workers=%d", workers), func(b *testing.B) {
			e := postEngine(b, at+"/hook", workers)
			share(b, workers, func() func() { return poster(b, e) })
		})
	}
}

// share has workers do b.N turns between them and reports the CPU time of one.
func share(b *testing.B, workers int, worker func() func()) {
	b.Helper()
	var wg sync.WaitGroup
	b.ReportAllocs()
	used := cpu()
	b.ResetTimer()
	for i := range workers {
		turn := worker()
		wg.Go(func() {
			for range (b.N + i) / workers {
				turn()
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N)/1000, "cpu-us/POST")
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
	request := "POST /hook HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256=" +
		strings.Repeat("0", 64) + "\r\nX-Hub-Signature: sha1=" + strings.Repeat("0", 40) + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	answer := make([]byte, 4<<10)
	return func() {
		if _, err := conn.Write([]byte(request)); err != nil {
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
	letters := []*letter{l}
	return func() {
		e.mu.Lock()
		b := &batch{app: e.mu.app, via: e.mu.transport, letters: letters}
		e.mu.Unlock()
		b.ctx, b.cancel = context.WithTimeout(e.ctx, b.app.Timeout)
		r := e.post(b)
		b.cancel()
		if r.status != http.StatusOK {
			tb.Errorf("status %d, %v", r.status, r.err)
		}
		if b.parcel.reusable() {
			e.parcels.Put(b.parcel)
		}
	}
}
