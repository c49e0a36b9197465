package lifecycle

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkServer is a short request over a real connection, 64 of them kept
// alive by clients that do little, answered by net/http alone and on quiet
// connections. Its answer takes a millisecond to come, as that of a write that
// is synced for all who wait; the CPU is that of clients and server.
func BenchmarkServer(b *testing.B) {
	for _, quiet := range []bool{false, true} {
		b.Run(fmt.Sprintf("quiet=%t", quiet), func(b *testing.B) {
			ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			g := &together{ready: make(chan struct{})}
			server := &http.Server{Handler: g, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
			address := ln.Addr().String()
			if quiet {
				ln = Quiet(server, ln)
			}
			ctx, cancel := context.WithCancel(context.Background())
			var crew sync.WaitGroup
			crew.Go(func() { _ = ServeHTTP(ctx, server, ln, time.Minute) })
			crew.Go(func() { g.answer(ctx) })
			callAll(b, address)
			cancel()
			crew.Wait()
		})
	}
}

// together answers all who wait at once.
type together struct {
	mu    sync.Mutex
	ready chan struct{}
}

func (g *together) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	g.mu.Lock()
	ready := g.ready
	g.mu.Unlock()
	select {
	case <-ready:
	case <-r.Context().Done():
	}
	_, _ = io.WriteString(w, "answer")
}

func (g *together) answer(ctx context.Context) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		g.mu.Lock()
		close(g.ready)
		g.ready = make(chan struct{})
		g.mu.Unlock()
	}
}

func callAll(b *testing.B, address string) {
	b.Helper()
	var callers sync.WaitGroup
	turns := make(chan struct{}, b.N)
	for range b.N {
		turns <- struct{}{}
	}
	close(turns)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	for range 64 {
		callers.Go(func() { callInTurn(b, address, turns) })
	}
	callers.Wait()
	b.StopTimer()
	b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1e3, "cpu-µs/op")
}

func callInTurn(b *testing.B, address string, turns <-chan struct{}) {
	b.Helper()
	c, err := new(net.Dialer).DialContext(b.Context(), "tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	request := []byte(posted("/", `{"recipient":{"id":"123456789012345"}}`))
	for range turns {
		if _, err := c.Write(request); err != nil {
			b.Error(err)
			return
		}
		for line := "-"; line != "\r\n" && err == nil; {
			line, err = r.ReadString('\n')
		}
		if _, err := r.Discard(len("answer")); err != nil {
			b.Error(err)
			return
		}
	}
}

// cpu is what the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
