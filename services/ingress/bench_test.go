package ingress_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
	"github.com/baton-router/baton/services/ingress"
)

// nowhere stores nothing: the handler's own cost.
type nowhere struct{}

func (nowhere) SubmitInbound(_ int, _ []byte, stored func(error)) { stored(nil) }

func published(p ingress.Publisher) ingress.Deps {
	d := deps(nil)
	d.Publisher = p
	return d
}

func benchmarkBody(events int) []byte {
	elements := make([]string, events)
	for i := range elements {
		elements[i] = message(1000+i, fmt.Sprintf("m_baton%04d", i), "where is my order? https://ex.test/a")
	}
	return post(elements...)
}

// BenchmarkHandler is the handler alone, the handler with an embedded server
// that syncs, and both behind HTTP.
func BenchmarkHandler(b *testing.B) {
	for _, n := range []int{1, 20} {
		body := benchmarkBody(n)
		b.Run(fmt.Sprintf("nowhere/events=%d", n), func(b *testing.B) {
			benchmarkDirect(b, nowhere{}, body, n)
		})
		b.Run(fmt.Sprintf("nats/events=%d", n), func(b *testing.B) {
			conn, _ := nats(b, true, 0)
			benchmarkDirect(b, conn, body, n)
		})
		b.Run(fmt.Sprintf("http+nats/events=%d", n), func(b *testing.B) {
			conn, _ := nats(b, true, 0)
			benchmarkHTTP(b, conn, body, n)
		})
	}
}

func benchmarkDirect(b *testing.B, p ingress.Publisher, body []byte, events int) {
	b.Helper()
	s := service(b, ingress.Config{}, published(p))
	signature := webhook.Sign256([]byte(secret), body)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/webhook", bytes.NewReader(body))
			r.Header.Set(webhook.Header256, signature)
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != 200 {
				b.Fatalf("%d %s", w.Code, w.Body)
			}
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
	ingress.WaitForLanes(s)
}

func benchmarkHTTP(b *testing.B, p ingress.Publisher, body []byte, events int) {
	b.Helper()
	s := service(b, ingress.Config{}, published(p))
	server := httptest.NewServer(s)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	signature := webhook.Sign256([]byte(secret), body)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, bytes.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set(webhook.Header256, signature)
			answer, err := client.Do(r)
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != 200 {
				b.Fatal(answer.Status)
			}
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}
