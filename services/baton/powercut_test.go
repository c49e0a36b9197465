package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// kill -9 leaves the page cache in place. What a power cut would leave is shown
// by the system calls instead: every answer of the real program is written to
// its socket only after a sync, begun after the write of the bytes it answers
// for, has returned on the block file that holds them.

const (
	tracedCalls = "read,write,writev,pwrite64,pwritev,fsync,fdatasync,sync_file_range"
	tracedTurns = 24
)

// TestPowerCutStreams traces the program under load.
func TestPowerCutStreams(t *testing.T) {
	t.Parallel()
	skipShort(t)
	needTrace(t)
	takeSlot(t)
	w := newWorld(t)
	w.useBinary()
	l := newLoad(w)
	trace := filepath.Join(w.dir, "trace")
	node := w.start("", 0, "strace", "-D", "-f", "-y", "-q", "-s", "131072", "-e", "trace="+tracedCalls, "-e", "signal=none", "-o", trace)
	node.awaitReady()
	l.until(func() {
		within(crashReach, func() bool { return len(l.messages()) >= tracedTurns && len(l.successes()) >= tracedTurns })
	})
	l.flush()
	node.stop()
	if !within(crashReach, func() bool { return traceEnded(trace, node.cmd.Process.Pid) }) {
		t.Fatal("the trace does not end")
	}
	p := newProof()
	p.read(t, trace)
	for _, mid := range l.messages() {
		p.expect(t, "webhook", mid, "BATON_IN")
	}
	for _, done := range l.successes() {
		p.expect(t, done.verb, done.mark, "BATON_LOG")
	}
	t.Logf("%d webhooks and %d calls were answered after the sync of their blocks", len(l.messages()), len(l.successes()))
}

// needTrace skips the test where processes may not be traced; a pipeline must
// not skip it.
func needTrace(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(context.Background(), "strace", "-f", "-o", os.DevNull, "true").CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("strace does not work here: %v: %s", err, out)
	default:
		t.Skipf("strace does not work here (make crash installs it where it can): %v: %s", err, out)
	}
}

// traceEnded reports whether the tracer has written the end of the process.
func traceEnded(file string, pid int) bool {
	data, err := os.ReadFile(file) //nolint:gosec // our own
	if err != nil {
		return false
	}
	ended := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +\+\+\+ exited with`, pid))
	return ended.Match(data[max(0, len(data)-16384):])
}

// proof follows the trace. A marker is a message id, a metadata or a text that
// occurs in exactly one request, its record and its answer's connection.
type proof struct {
	unfinished map[string]string   // the beginning of each thread's call under way
	asked      map[string]string   // the marker last read from each connection
	dirty      map[string][]string // per block, the markers written and not synced
	syncing    map[string][]string // per thread, the markers that its sync will cover
	durable    map[string]bool     // "<stream> <marker>"
	answered   map[string]string   // per marker, what was durable when it was answered
}

func newProof() *proof {
	return &proof{
		unfinished: map[string]string{}, asked: map[string]string{}, dirty: map[string][]string{}, syncing: map[string][]string{},
		durable: map[string]bool{}, answered: map[string]string{},
	}
}

func (p *proof) read(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file) //nolint:gosec // our own
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.line(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// line takes one line: a whole call, or its beginning or end.
func (p *proof) line(line string) {
	thread, call, _ := strings.Cut(line, " ")
	call = strings.TrimLeft(call, " ")
	if begun, ok := strings.CutSuffix(call, "<unfinished ...>"); ok {
		p.unfinished[thread] = begun
		p.begin(thread, begun)
		return
	}
	if rest, ok := strings.CutPrefix(call, "<... "); ok {
		_, rest, _ = strings.Cut(rest, " resumed>")
		p.end(thread, p.unfinished[thread]+rest)
		return
	}
	p.begin(thread, call)
	p.end(thread, call)
}

var (
	callForm   = regexp.MustCompile(`^(\w+)\(\d+<([^>]*)>`)
	markerForm = regexp.MustCompile(`m_9\d{15}_\d+|9\d{15}-\d+`)
)

// begin is the moment at which a call is made: an answer may be on the wire from
// here on, and a sync covers what was written before.
func (p *proof) begin(thread, call string) {
	m := callForm.FindStringSubmatch(call)
	if m == nil {
		return
	}
	name, file := m[1], m[2]
	switch {
	case strings.Contains(name, "sync"):
		p.syncing[thread] = append([]string(nil), p.dirty[file]...)
	case strings.HasPrefix(name, "write") && strings.HasPrefix(file, "socket:") && strings.Contains(call, "HTTP/1.1 200 OK"):
		if marker := p.asked[file]; marker != "" {
			p.answered[marker] = p.durableFor(marker)
		}
	}
}

// end is the moment at which a call has returned.
func (p *proof) end(thread, call string) {
	m := callForm.FindStringSubmatch(call)
	if m == nil || strings.Contains(call, ") = -1 ") {
		return
	}
	name, file := m[1], m[2]
	switch {
	case strings.Contains(name, "sync"):
		p.settle(file, p.syncing[thread])
		p.syncing[thread] = nil
	case strings.Contains(name, "write") && strings.HasSuffix(file, ".blk"):
		p.dirty[file] = append(p.dirty[file], markerForm.FindAllString(call, -1)...)
	case name == "read" && strings.HasPrefix(file, "socket:"):
		if found := markerForm.FindAllString(call, -1); len(found) > 0 {
			p.asked[file] = found[len(found)-1]
		}
	}
}

// settle notes that what was written to a block is durable.
func (p *proof) settle(file string, markers []string) {
	covered := map[string]int{}
	for _, marker := range markers {
		covered[marker]++
		p.durable[streamOf(file)+" "+marker] = true
	}
	var left []string
	for _, marker := range p.dirty[file] {
		if covered[marker]--; covered[marker] < 0 {
			left = append(left, marker)
		}
	}
	p.dirty[file] = left
}

// streamOf is the stream that a block belongs to.
func streamOf(file string) string {
	_, rest, _ := strings.Cut(file, "/streams/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (p *proof) durableFor(marker string) string {
	var streams []string
	for _, name := range []string{"BATON_IN", "BATON_LOG"} {
		if p.durable[name+" "+marker] {
			streams = append(streams, name)
		}
	}
	return "answered with " + strings.Join(streams, " ")
}

// expect checks that a request was answered after its bytes were durable.
func (p *proof) expect(t *testing.T, verb, marker, stream string) {
	t.Helper()
	switch got, ok := p.answered[marker]; {
	case !ok:
		t.Errorf("%s %s: its answer is not in the trace", verb, marker)
	case !strings.Contains(got, stream):
		t.Errorf("%s %s: %q before a sync of %s", verb, marker, got, stream)
	}
}

// The proof itself can fail: an answer before the sync, during it, and after a
// sync that began before the write, is found.
func TestPowerCutProofIsSharp(t *testing.T) {
	t.Parallel()
	const (
		ask    = `1 read(9<socket:[77]>, "POST /webhook m_9000000000000001_1", 4096) = 34`
		write  = `2 write(5</d/streams/BATON_IN/msgs/1.blk>, "...m_9000000000000001_1...", 26) = 26`
		sync   = `2 fsync(5</d/streams/BATON_IN/msgs/1.blk>) = 0`
		begun  = `3 fsync(5</d/streams/BATON_IN/msgs/1.blk> <unfinished ...>`
		ended  = `3 <... fsync resumed>) = 0`
		answer = `1 write(9<socket:[77]>, "HTTP/1.1 200 OK\r\n", 17) = 17`
	)
	for name, c := range map[string]struct {
		lines []string
		holds bool
	}{
		"after the sync":              {[]string{ask, write, sync, answer}, true},
		"after an interrupted sync":   {[]string{ask, write, begun, ended, answer}, true},
		"no sync":                     {[]string{ask, write, answer, sync}, false},
		"during the sync":             {[]string{ask, write, begun, answer, ended}, false},
		"sync begun before the write": {[]string{ask, begun, write, ended, answer}, false},
		"never written":               {[]string{ask, sync, answer}, false},
	} {
		p := newProof()
		for _, line := range c.lines {
			p.line(line)
		}
		if got := strings.Contains(p.answered["m_9000000000000001_1"], "BATON_IN"); got != c.holds {
			t.Errorf("%s: the proof holds: %t", name, got)
		}
	}
}
