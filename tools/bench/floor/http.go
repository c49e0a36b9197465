package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/tools/bench/traffic"
	"github.com/baton-router/baton/tools/bench/wire"
)

// ServeBare serves on bare sockets until ctx ends.
func ServeBare(ctx context.Context, ln net.Listener, secret string) error {
	signer := traffic.NewSigner(secret)
	return wire.Serve(ctx, ln, func(r *wire.Request) (int, []byte) {
		if !signer.Signed(r.Body, r.Signature) {
			return http.StatusForbidden, nil
		}
		return http.StatusOK, nil
	})
}

// ServeHTTP serves with net/http until ctx ends.
func ServeHTTP(ctx context.Context, ln net.Listener, secret string) error {
	signer := traffic.NewSigner(secret)
	bodies := sync.Pool{New: func() any { return new(bytes.Buffer) }}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := bodies.Get().(*bytes.Buffer)
		defer bodies.Put(b)
		b.Reset()
		if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, wire.MaxBody)); err != nil || !signer.Signed(b.Bytes(), []byte(r.Header.Get("X-Hub-Signature-256"))) {
			w.WriteHeader(http.StatusForbidden)
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Posts is a load of a net/http client.
type Posts struct {
	URL, Secret    string
	PerPost, Conns int
	For            time.Duration
}

// PostHTTP signs and posts for a while, on each connection at least once, and
// returns how many events it posted.
func PostHTTP(ctx context.Context, p Posts) (events int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := &http.Transport{MaxIdleConnsPerHost: p.Conns, DisableCompression: true}
	defer transport.CloseIdleConnections()
	signer, until := traffic.NewSigner(p.Secret), time.Now().Add(p.For)
	var sent atomic.Int64
	faults := make([]error, p.Conns)
	var posting sync.WaitGroup
	for c := range p.Conns {
		posting.Go(func() {
			var body []byte
			spec := &traffic.LoadSpec{Page: 1, Threads: 1000, Conns: p.Conns}
			for k := 0; (k == 0 || time.Now().Before(until)) && ctx.Err() == nil; k += p.PerPost {
				body = traffic.AppendWebhook(body[:0], spec, c, k, p.PerPost, time.Now())
				if faults[c] = postOnce(ctx, transport, p.URL, signer.Sign(body), body); faults[c] != nil {
					cancel()
					return
				}
				sent.Add(int64(p.PerPost))
			}
		})
	}
	posting.Wait()
	return int(sent.Load()), errors.Join(faults...)
}

func postOnce(ctx context.Context, via http.RoundTripper, url, signature string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", signature)
	resp, err := via.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("floor: %s", resp.Status)
	}
	return nil
}
