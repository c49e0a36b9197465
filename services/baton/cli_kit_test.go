package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/baton-router/baton/services/simulator"
)

// Ids of the development installation.
const (
	devPage   = "100200300400500"
	devPerson = "9001234567890123"
	devThread = devPage + " " + devPerson
)

// soon bounds what must happen by itself; a busy machine needs a while.
const soon = 60 * time.Second

// answer is what a command did.
type answer struct {
	code        int
	out, errors string
}

// baton runs a command line in this process.
func baton(ctx context.Context, args ...string) answer {
	var out, errs bytes.Buffer
	code := run(ctx, args, &out, &errs)
	return answer{code, out.String(), errs.String()}
}

// desk is a running Baton and the terminal beside it.
type desk struct {
	t     *testing.T
	admin string
	dev   *devNode
	stop  func() error // ends the node and waits; may be called twice
}

// newDesk starts a development installation on free ports.
func newDesk(t *testing.T, dir string) *desk {
	t.Helper()
	d, err := startDev(t.Context(), devOptions{
		dataDir: dir, logLevel: "error", errors: t.Output(), quiet: true, freePorts: true, say: func(string, ...any) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.node.run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error("the end:", err)
		}
	})
	if err := d.ready(ctx); err != nil {
		t.Fatal(err)
	}
	// Receipts come when they like and have nothing to do with control.
	if err := d.node.simulator.SetSwitches(0, simulator.Switches{DropDeliveries: true, DropReads: true}); err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, admin: d.node.adminURL(), dev: d, stop: stop}
}

// run runs a command, given as one line, against the node.
func (d *desk) run(line string, more ...string) answer {
	d.t.Helper()
	return baton(d.t.Context(), append(append([]string{"--admin", d.admin}, strings.Fields(line)...), more...)...)
}

// ok runs a command that must succeed and returns what it printed.
func (d *desk) ok(line string, more ...string) string {
	d.t.Helper()
	a := d.run(line, more...)
	if a.code != exitDone {
		d.t.Fatalf("%s %q: exit code %d\n%s%s", line, more, a.code, a.out, a.errors)
	}
	return a.out
}

// fails runs a command that must fail with a code and one line that matches.
func (d *desk) fails(code int, pattern, line string, more ...string) {
	d.t.Helper()
	d.t.Logf("%s %q", line, more)
	wantFailure(d.t, d.run(line, more...), code, pattern)
}

// wantFailure checks the exit code and that the error is one line that matches.
func wantFailure(t *testing.T, a answer, code int, pattern string) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(a.errors, "\n"), "\n")
	lines = slicesWithout(lines, "baton: try ")
	if a.code != code || len(lines) != 1 || !strings.HasPrefix(lines[0], "baton: ") || !regexp.MustCompile(pattern).MatchString(lines[0]) {
		t.Errorf("exit code %d, want %d and a line like %q:\n%s%s", a.code, code, pattern, a.out, a.errors)
	}
}

func slicesWithout(lines []string, prefix string) (rest []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) {
			rest = append(rest, line)
		}
	}
	return rest
}

// until repeats a reading command until its output matches.
func (d *desk) until(pattern, line string) string {
	d.t.Helper()
	re := regexp.MustCompile(pattern)
	var out string
	await(d.t, func() bool {
		out = d.ok(line)
		return re.MatchString(out)
	}, func() string { return fmt.Sprintf("%s: want %q in\n%s", line, pattern, out) })
	return out
}

// await polls until a condition holds.
func await(t *testing.T, holds func() bool, what func() string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatal("in vain: " + what())
		case <-tick.C:
		}
	}
}

// decoded reads a command's JSON.
func decodedJSON(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// get reads a page of the admin listener.
func get(t *testing.T, client *http.Client, url string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// transcript gathers what a long-running command prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *transcript) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// running is a command that goes on until it is stopped.
type running struct {
	t           *testing.T
	out, errors transcript
	stop        func() int // ends it and returns its exit code; may be called twice
	ended       chan struct{}
}

// start runs a command until the test, or stop, ends it.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, ended: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	code := 0
	go func() {
		defer close(r.ended)
		code = run(ctx, args, &r.out, &r.errors)
	}()
	r.stop = func() int {
		cancel()
		<-r.ended
		return code
	}
	t.Cleanup(func() { r.stop() })
	return r
}

// prints waits until the command has printed something that matches, and
// returns the match's groups.
func (r *running) prints(pattern string) []string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	var found []string
	await(r.t, func() bool {
		if found = re.FindStringSubmatch(r.out.String() + r.errors.String()); found != nil {
			return true
		}
		select {
		case <-r.ended:
			r.t.Fatalf("it has ended: %s%s", r.out.String(), r.errors.String())
		default:
		}
		return false
	}, func() string { return fmt.Sprintf("want %q in\n%s%s", pattern, r.out.String(), r.errors.String()) })
	return found
}

// write makes a file of the test.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func digest(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
