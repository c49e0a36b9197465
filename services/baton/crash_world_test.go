package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What the crash tests' installation consists of: one page, a primary and two
// more apps, and a platform that this test plays.
const (
	crashPartitions = 4
	crashPage       = 100200300400500
	crashBaton      = 700000000009999
	crashAppSecret  = "platform-secret"
	crashPageToken  = "page-token"
	crashReadyIn    = 30 * time.Second
)

func crashApps() []uint64 { return []uint64{700000000000001, 700000000000002, 700000000000003} }

func crashToken(app uint64) string { return "token-" + strconv.FormatUint(app, 10) }

// world is the surroundings of a node under test. They outlive the node.
type world struct {
	t        *testing.T
	dir      string // holds configuration, data directory and logs
	config   string
	public   string
	admin    string
	nats     string
	apps     *recorders
	platform *fakePlatform
	client   *http.Client
	// binary is the built program; empty runs this test binary.
	binary string
	// program makes this test binary run as the program itself.
	program bool
	lives   int
	// victim is the process running now; 0 for none. The surroundings kill it
	// where a point lies outside of the process.
	victim atomic.Int64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, dir: t.TempDir(), public: freePort(t), admin: freePort(t), nats: freePort(t),
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	t.Cleanup(w.client.CloseIdleConnections)
	w.apps = newRecorders(t)
	w.platform = newFakePlatform(t)
	w.config = filepath.Join(w.dir, "baton.yaml")
	w.configure(crashPartitions)
	return w
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := freeAddress(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return address
}

func (w *world) dataDir() string { return filepath.Join(w.dir, "data") }

// configure writes the configuration file.
func (w *world) configure(partitions int) {
	w.t.Helper()
	var b configText
	b.line(0, "data_dir: %q", w.dataDir())
	b.line(0, "listen: {public: %q, admin: %q}", w.public, w.admin)
	b.line(0, "nats: {listen: %q}", w.nats)
	b.line(0, "durability: node")
	b.line(0, "partitions: %d", partitions)
	b.line(0, "platform: {graph_url: %q, app_id: %q, app_secret: %q, verify_token: verify}",
		w.platform.server.URL, strconv.Itoa(crashBaton), crashAppSecret)
	b.line(0, `egress: {allow: ["127.0.0.0/8"]}`)
	b.line(0, "apps:")
	for _, app := range crashApps() {
		b.line(1, "- id: %q", strconv.FormatUint(app, 10))
		b.line(2, "name: app-%d", app%10)
		b.line(2, "secret: secret")
		b.line(2, "callback_url: %q", w.apps.url(app))
		b.line(2, "verify_token: verify")
		b.line(2, "fields: [messages, messaging_postbacks, message_echoes, messaging_handovers, standby]")
	}
	b.line(0, "pages:")
	b.line(1, "- id: %q", strconv.Itoa(crashPage))
	b.line(2, "name: page")
	b.line(2, "access_token: %q", crashPageToken)
	b.line(2, "routing: {mode: handover, primary: %q}", strconv.FormatUint(crashApps()[0], 10))
	b.line(2, "apps:")
	for _, app := range crashApps() {
		b.line(3, "- {app: %q, access_token: %q, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}",
			strconv.FormatUint(app, 10), crashToken(app))
	}
	if err := os.WriteFile(w.config, []byte(b.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// life is one process of the node.
type life struct {
	w    *world
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has ended
	err  error         // of Wait, once done is closed
}

// start starts the node, to die at a point; "" for none. wrap is put before the
// command line, as strace is.
func (w *world) start(point string, nth int, wrap ...string) *life {
	w.t.Helper()
	w.lives++
	l := &life{w: w, log: filepath.Join(w.dir, fmt.Sprintf("life-%d.log", w.lives)), done: make(chan struct{})}
	line, environment := w.command(point, nth)
	line = append(wrap, line...)
	l.cmd = exec.Command(line[0], line[1:]...) //nolint:gosec,noctx // ended by end or kill
	l.cmd.Env = append(os.Environ(), environment...)
	out, err := os.Create(l.log)
	if err != nil {
		w.t.Fatal(err)
	}
	l.cmd.Stdout, l.cmd.Stderr = out, out
	if err := l.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.victim.Store(int64(l.cmd.Process.Pid))
	go func() {
		l.err = l.cmd.Wait()
		_ = out.Close()
		close(l.done)
	}()
	w.t.Cleanup(l.kill)
	return l
}

func (w *world) command(point string, nth int) (line, environment []string) {
	if w.binary != "" {
		return []string{w.binary, "serve", "--config", w.config}, nil
	}
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.program {
		return []string{self, "serve", "--config", w.config}, []string{envMain + "=1"}
	}
	return []string{self}, []string{envConfig + "=" + w.config, envPoint + "=" + point, envNth + "=" + strconv.Itoa(nth)}
}

// ended reports whether the process has ended.
func (l *life) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// kill ends the process as kill -9 does and waits for its end.
func (l *life) kill() {
	if !l.ended() {
		_ = l.cmd.Process.Signal(syscall.SIGKILL)
		<-l.done
	}
}

// killed reports whether the process was ended by SIGKILL.
func (l *life) killed() bool {
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stop ends the process in good order and returns how long that took.
func (l *life) stop() time.Duration {
	l.w.t.Helper()
	began := time.Now()
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-l.done:
	case <-time.After(20 * time.Second):
		l.fatal("the node did not stop")
	}
	if l.err != nil {
		l.fatal("the node stopped with %v", l.err)
	}
	return time.Since(began)
}

// fatal fails the test with the end of the process's log.
func (l *life) fatal(format string, args ...any) {
	l.w.t.Helper()
	data, _ := os.ReadFile(l.log)
	l.w.t.Logf("end of %s:\n%s", filepath.Base(l.log), data[max(0, len(data)-6000):])
	l.w.t.Fatalf(format, args...)
}

// awaitReady waits until /readyz says yes.
func (l *life) awaitReady() {
	l.w.t.Helper()
	if !within(crashReadyIn, func() bool { return l.ended() || l.w.ready() }) || l.ended() {
		l.fatal("the node did not become ready: %s", l.w.readyz())
	}
}

// awaitDeath waits until the process has killed itself.
func (l *life) awaitDeath(d time.Duration) {
	l.w.t.Helper()
	select {
	case <-l.done:
	case <-time.After(d):
		l.fatal("the point was not reached")
	}
	if !l.killed() {
		l.fatal("the node ended by itself: %v", l.err)
	}
}

func (w *world) ready() bool {
	resp, err := w.get("/readyz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// readyz is what /readyz says.
func (w *world) readyz() string {
	resp, err := w.get("/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(resp.Body)
	return resp.Status + " " + string(data)
}

func (w *world) get(path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.admin+path, nil)
	if err != nil {
		return nil, err
	}
	return w.client.Do(req)
}

// global is the command line's way to the node.
func (w *world) global() *Global { return &Global{Admin: "http://" + w.admin} }

// recorders are the apps' webhooks: they keep what they get.
type recorders struct {
	server *httptest.Server
	// onDelivery is called with each delivery before it is answered; nil for
	// nothing.
	onDelivery atomic.Pointer[func()]
	mu         sync.Mutex
	got        map[uint64][]delivered
	seen       map[uint64]map[string]bool // per app, the message ids received
}

// delivered is one event that an app got.
type delivered struct {
	id      string // delivery id
	thread  string
	mid     string
	element string
	channel string
}

func newRecorders(t *testing.T) *recorders {
	t.Helper()
	r := &recorders{got: map[uint64][]delivered{}, seen: map[uint64]map[string]bool{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)
	return r
}

func (r *recorders) url(app uint64) string { return r.server.URL + "/" + strconv.FormatUint(app, 10) }

func (r *recorders) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		_, _ = io.WriteString(w, req.URL.Query().Get("hub.challenge"))
		return
	}
	app, _ := strconv.ParseUint(strings.TrimPrefix(req.URL.Path, "/"), 10, 64)
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.keep(app, strings.Split(req.Header.Get("Baton-Delivery-Id"), ","), body)
	if f := r.onDelivery.Load(); f != nil {
		(*f)()
	}
}

// hookBody is a webhook as apps get it.
type hookBody struct {
	Entry []struct {
		Messaging []json.RawMessage `json:"messaging"`
		Standby   []json.RawMessage `json:"standby"`
	} `json:"entry"`
}

// hookEvent is what the tests look at in an event.
type hookEvent struct {
	Sender    struct{ ID string } `json:"sender"`
	Recipient struct{ ID string } `json:"recipient"`
	Message   struct {
		Mid    string `json:"mid"`
		IsEcho bool   `json:"is_echo"`
	} `json:"message"`
}

func (r *recorders) keep(app uint64, ids []string, body []byte) {
	var hook hookBody
	if json.Unmarshal(body, &hook) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[app] == nil {
		r.seen[app] = map[string]bool{}
	}
	for i, entry := range hook.Entry {
		d := delivered{channel: "messaging"}
		elements := entry.Messaging
		if len(entry.Standby) > 0 {
			d.channel, elements = "standby", entry.Standby
		}
		if len(elements) != 1 || i >= len(ids) {
			continue
		}
		var e hookEvent
		_ = json.Unmarshal(elements[0], &e)
		d.id, d.mid, d.element, d.thread = ids[i], e.Message.Mid, string(elements[0]), e.Sender.ID
		if e.Message.IsEcho || d.thread == strconv.Itoa(crashPage) {
			d.thread = e.Recipient.ID
		}
		r.got[app] = append(r.got[app], d)
		r.seen[app][d.mid] = true
	}
}

// missing lists which of the message ids an app has not got.
func (r *recorders) missing(app uint64, mids []string) (missing []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, mid := range mids {
		if !r.seen[app][mid] {
			missing = append(missing, mid)
		}
	}
	return missing
}

// deliveries returns what an app got, in order of arrival.
func (r *recorders) deliveries(app uint64) []delivered {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]delivered(nil), r.got[app]...)
}

// fakePlatform takes sends and counts them by their token.
type fakePlatform struct {
	server *httptest.Server
	// onSend is called with each send before it is answered; nil for nothing.
	onSend atomic.Pointer[func()]
	mu     sync.Mutex
	sent   map[string]int // by text
	mids   map[string]string
	echoes []string // bodies of webhooks to be sent
}

func newFakePlatform(t *testing.T) *fakePlatform {
	t.Helper()
	p := &fakePlatform{sent: map[string]int{}, mids: map[string]string{}}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

func (p *fakePlatform) serve(w http.ResponseWriter, req *http.Request) {
	var m struct {
		Recipient struct{ ID string } `json:"recipient"`
		Message   struct {
			Text     string `json:"text"`
			Metadata string `json:"metadata"`
		} `json:"message"`
	}
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.sent[m.Message.Text]++
	mid := fmt.Sprintf("mid.%s.%d", m.Message.Text, p.sent[m.Message.Text])
	p.mids[m.Message.Text] = mid
	p.echoes = append(p.echoes, fmt.Sprintf(
		`{"object":"page","entry":[{"id":"%d","time":%d,"messaging":[{"sender":{"id":"%d"},"recipient":{"id":%q},"timestamp":%d,"message":{"is_echo":true,"app_id":%d,"metadata":%q,"mid":%q,"text":%q}}]}]}`,
		crashPage, time.Now().UnixMilli(), crashPage, m.Recipient.ID, time.Now().UnixMilli(), crashBaton, m.Message.Metadata, mid, m.Message.Text))
	p.mu.Unlock()
	if f := p.onSend.Load(); f != nil {
		(*f)()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"recipient_id": m.Recipient.ID, "message_id": mid})
}

// takeEchoes returns the echoes that have not been sent yet.
func (p *fakePlatform) takeEchoes() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.echoes
	p.echoes = nil
	return taken
}

// forwarded is how many times each text came.
func (p *fakePlatform) forwarded() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]int, len(p.sent))
	for text, n := range p.sent {
		all[text] = n
	}
	return all
}
