package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the installation consists of.
const (
	partitions = 16
	people     = 32
	page       = 100200300400500
	secret     = "platform-secret"
)

// traffic is the platform, two apps, and people whose threads the apps pass to
// each other all the time, through whichever node answers.
type traffic struct {
	server *http.Server
	url    string
	client *http.Client
	nodes  []string
	stop   context.CancelFunc
	crew   sync.WaitGroup

	delivered, accepted, unanswered atomic.Uint64
	mu                              struct {
		sync.Mutex
		longest time.Duration // between two accepted changes of one thread
	}
}

func newTraffic() (*traffic, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return nil, err
	}
	t := &traffic{url: "http://" + l.Addr().String(), client: &http.Client{Timeout: 6 * time.Second}}
	t.server = &http.Server{Handler: http.HandlerFunc(t.serve), ReadHeaderTimeout: 5 * time.Second}
	t.crew.Go(func() { _ = t.server.Serve(l) })
	return t, nil
}

// serve is the apps' callbacks, and the platform.
func (t *traffic) serve(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch {
	case r.Method == http.MethodGet:
		_, _ = io.WriteString(w, r.URL.Query().Get("hub.challenge")) //nolint:gosec // only Baton asks, on loopback
	case strings.HasPrefix(r.URL.Path, "/app/"):
		t.delivered.Add(1)
	default:
		_, _ = io.WriteString(w, `{"success":true}`)
	}
}

// configuration is what the nodes' configurations share.
func (t *traffic) configuration() string {
	var b strings.Builder
	fmt.Fprintf(&b, "partitions: %d\n", partitions)
	fmt.Fprintf(&b, "platform: {graph_url: %q, app_id: \"700000000009999\", app_secret: %s, verify_token: verify}\n", t.url, secret)
	fmt.Fprintln(&b, `egress: {allow: ["127.0.0.0/8"]}`)
	fmt.Fprintln(&b, "apps:")
	for app := 1; app <= 2; app++ {
		fmt.Fprintf(&b, "  - {id: \"%d\", name: app-%d, secret: s, callback_url: \"%s/app/%d\", verify_token: v, fields: [messages, messaging_handovers, standby]}\n",
			appID(app), app, t.url, app)
	}
	fmt.Fprintf(&b, "pages:\n  - id: \"%d\"\n    name: page\n    access_token: page-token\n    routing: {mode: handover, primary: \"%d\"}\n    apps:\n", page, appID(1))
	for app := 1; app <= 2; app++ {
		fmt.Fprintf(&b, "      - {app: \"%d\", access_token: token-%d, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}\n", appID(app), app)
	}
	return b.String()
}

func appID(app int) int { return 700000000000000 + app }

// start begins the threads.
func (t *traffic) start(nodes []string) {
	ctx, stop := context.WithCancel(context.Background())
	t.nodes, t.stop = nodes, stop
	for n := range people {
		t.crew.Go(func() { t.thread(ctx, 9000000000000000+n, n) })
	}
}

func (t *traffic) close() {
	if t.stop != nil {
		t.stop()
	}
	_ = t.server.Close()
	t.crew.Wait()
	t.client.CloseIdleConnections()
}

// thread passes one thread between the apps, as fast as it is answered, but at
// most ten times a second.
func (t *traffic) thread(ctx context.Context, person, node int) {
	for try := 0; !t.message(ctx, person, t.nodes[(node+try)%len(t.nodes)]); try++ {
		if !nap(ctx, 100*time.Millisecond) {
			return
		}
	}
	last := time.Now()
	for turn := 0; ctx.Err() == nil; {
		ok := t.pass(ctx, person, turn, t.nodes[node%len(t.nodes)])
		if ctx.Err() != nil {
			return
		}
		if !ok {
			t.unanswered.Add(1)
			node++ // another node
			turn++ // it may have been done
		} else {
			t.accepted.Add(1)
			t.note(time.Since(last))
			last = time.Now()
			turn++
		}
		nap(ctx, 100*time.Millisecond)
	}
}

func (t *traffic) note(gap time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.longest = max(t.mu.longest, gap)
}

func (t *traffic) message(ctx context.Context, person int, node string) bool {
	now := time.Now().UnixMilli()
	body := fmt.Sprintf(`{"object":"page","entry":[{"id":"%d","time":%d,"messaging":[{"sender":{"id":"%d"},"recipient":{"id":"%d"},"timestamp":%d,"message":{"mid":"m_%d","text":"hello"}}]}]}`,
		page, now, person, page, now, person)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write([]byte(body))
	return t.post(ctx, "http://"+node+"/webhook", body, "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

// pass makes the app whose turn it is pass the thread to the other.
func (t *traffic) pass(ctx context.Context, person, turn int, node string) bool {
	app := 1 + turn%2
	return t.post(ctx, fmt.Sprintf("http://%s/me/pass_thread_control?access_token=token-%d", node, app),
		fmt.Sprintf(`{"recipient":{"id":"%d"},"target_app_id":"%d"}`, person, appID(3-app)), "")
}

func (t *traffic) post(ctx context.Context, url, body, signature string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	if signature != "" {
		req.Header.Set("X-Hub-Signature-256", signature)
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// summary says what happened since the last one.
func (t *traffic) summary() string {
	t.mu.Lock()
	longest := t.mu.longest
	t.mu.longest = 0
	t.mu.Unlock()
	return fmt.Sprintf("traffic: %d changes accepted, %d calls refused or unanswered, %d deliveries; longest wait of a thread %s",
		t.accepted.Swap(0), t.unanswered.Swap(0), t.delivered.Swap(0), longest.Round(time.Millisecond))
}

func nap(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
