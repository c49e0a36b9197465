package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/lifecycle/porttest"
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
	// partitions of the installation; 0 where nobody asks.
	partitions int
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
	addresses, err := porttest.Reserve(1)
	if err != nil {
		t.Fatal(err)
	}
	return addresses[0]
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
	w.settings(&b, partitions)
	if err := os.WriteFile(w.config, []byte(b.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// settings writes what all nodes of an installation share.
func (w *world) settings(b *configText, partitions int) {
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
	l.cmd = exec.Command(line[0], line[1:]...)
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
	case <-time.After(60 * time.Second):
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
