package bus_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// traced names the variable that makes the test binary the traced process: its
// value is sync or nosync.
const traced = "BATON_TEST_TRACED"

// A power cut takes what was not synced, and kill -9 does not show it. So the
// system calls are traced: when a call that writes returns, every block that it
// wrote must have been synced before.
func TestAcknowledgedMeansSynced(t *testing.T) {
	if mode := os.Getenv(traced); mode != "" {
		writeEverything(t, mode == "sync")
		return
	}
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace")
	}
	if faults, acks := trace(t, strace, "sync"); len(faults) > 0 || acks != 10 {
		t.Errorf("%d acknowledgements, wanted 10; before their sync: %q", acks, faults)
	}
	// Without the sync the trace must show it, or it shows nothing.
	if faults, acks := trace(t, strace, "nosync"); len(faults) == 0 || acks != 10 {
		t.Errorf("class dev: %d acknowledgements, none before its sync", acks)
	}
}

// writeEverything says ACKED on standard error whenever a call has returned.
func writeEverything(t *testing.T, sync bool) {
	t.Helper()
	s := must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: t.TempDir(), Sync: sync}))
	t.Cleanup(s.Stop)
	c := dial(t, s)
	ensure(t, c, config())
	ctx := brief(t)
	acked := func(what string) { fmt.Fprintln(os.Stderr, "ACKED "+what) }
	acked("streams")
	seq := must[uint64](t)(c.AppendLog(ctx, 0, []byte("record"), 0))
	acked("record")
	must[uint64](t)(c.AppendLog(ctx, 0, []byte("record"), seq))
	acked("second record")
	must[uint64](t)(c.PublishInbound(ctx, 0, []byte("webhook")))
	acked("webhook")
	cursor := must[uint64](t)(c.SaveCursor(ctx, 0, []byte("cursor"), 0))
	acked("cursor")
	must[[]uint64](t)(c.SaveCursors(ctx, []bus.CursorMove{{Partition: 0, Expected: cursor}, {Partition: 1}}))
	acked("cursors")
	must[uint64](t)(c.SaveRoster(ctx, []byte("roster"), 0))
	acked("roster")
	must[[]uint64](t)(c.PublishControl(ctx, []bus.ControlMessage{change(0, 1), change(0, 2)}, []bus.CursorMove{{Partition: 0}}))
	acked("control changes")
	only := dialSole(t, s)
	ensure(t, only, config())
	must[uint64](t)(only.AppendLog(ctx, 1, []byte("record"), 0))
	acked("bundle of records")
	must[uint64](t)(only.PublishInbound(ctx, 1, []byte("webhook")))
	acked("bundle of webhooks")
}

// trace runs this test as a traced process and returns the acknowledgements
// that came before their sync, and how many there were.
func trace(t *testing.T, strace, mode string) (faults []string, acks int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trace")
	cmd := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-s", "200", "-o", file, "-e", "trace=write,pwrite64,fsync,fdatasync",
		os.Args[0], "-test.run=^TestAcknowledgedMeansSynced$")
	cmd.Env = append(os.Environ(), traced+"="+mode)
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skip("tracing is not permitted here")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	tr := newTracer()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		tr.line(lines.Text())
	}
	return tr.faults, tr.acks
}

// tracer follows which files have blocks of Baton's streams that are not synced.
type tracer struct {
	call    *regexp.Regexp
	resumed *regexp.Regexp
	dirty   map[string]bool   // by descriptor
	syncing map[string]string // thread -> descriptor
	faults  []string
	acks    int
}

func newTracer() *tracer {
	return &tracer{
		call:    regexp.MustCompile(`^(\d+) +(write|pwrite64|fsync|fdatasync)\((\d+)(.*)$`),
		resumed: regexp.MustCompile(`^(\d+) +<\.\.\. (fsync|fdatasync) resumed>.*= 0$`),
		dirty:   map[string]bool{},
		syncing: map[string]string{},
	}
}

func (tr *tracer) line(line string) {
	if m := tr.resumed.FindStringSubmatch(line); m != nil {
		delete(tr.dirty, tr.syncing[m[1]])
		return
	}
	m := tr.call.FindStringSubmatch(line)
	switch {
	case m == nil:
	case m[3] == "2" && strings.Contains(m[4], "ACKED "):
		tr.acks++
		if len(tr.dirty) > 0 {
			tr.faults = append(tr.faults, m[4])
			clear(tr.dirty)
		}
	case m[2] == "pwrite64" && strings.Contains(m[4], "baton."):
		tr.dirty[m[3]] = true
	case strings.HasSuffix(m[4], "= 0"):
		delete(tr.dirty, m[3])
	case m[2] == "fsync" || m[2] == "fdatasync":
		tr.syncing[m[1]] = m[3]
	}
}
