package lifecycle_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle"
)

// served runs a server whose handler tells when a request has begun and waits
// for leave to answer it.
func served(t *testing.T, within time.Duration) (url string, begun, leave chan struct{}, stop func() error) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	begun, leave = make(chan struct{}), make(chan struct{})
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		select {
		case <-leave:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "answer")
	})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- lifecycle.ServeHTTP(ctx, server, ln, within) }()
	return "http://" + ln.Addr().String(), begun, leave, func() error { cancel(); return <-ended }
}

// get asks once, on a connection of its own, and sends the body that came back.
func get(t *testing.T, url string) <-chan string {
	t.Helper()
	answer := make(chan string, 1)
	go func() {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(url)
		if err != nil {
			answer <- ""
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answer <- string(body)
	}()
	return answer
}

func TestRequestsUnderWayAreAnsweredAtTheEnd(t *testing.T) {
	t.Parallel()
	url, begun, leave, stop := served(t, time.Minute)
	answer := get(t, url)
	<-begun
	go close(leave)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := <-answer; got != "answer" {
		t.Errorf("the request under way got %q", got)
	}
}

func TestRequestsThatTakeTooLongAreCutOff(t *testing.T) {
	t.Parallel()
	url, begun, _, stop := served(t, time.Millisecond)
	answer := get(t, url)
	<-begun
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := <-answer; got != "" {
		t.Errorf("the request got %q", got)
	}
}

func TestFailedListenerIsReported(t *testing.T) {
	t.Parallel()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if lifecycle.ServeHTTP(t.Context(), &http.Server{ReadHeaderTimeout: time.Second}, ln, time.Second) == nil {
		t.Error("a closed listener served")
	}
}
