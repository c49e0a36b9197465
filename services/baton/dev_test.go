package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/services/demoapps"
	"github.com/baton-router/baton/services/simulator"
)

func simRoster(dir string) (simulator.Roster, error) { return simulator.DevRoster(dir) }

func demoRoster(dir string) (demoapps.Roster, error) { return demoapps.DevRoster(dir) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// occupied makes sure that somebody listens on a port.
func occupied(t *testing.T, address string) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		return // somebody else does
	}
	t.Cleanup(func() { _ = ln.Close() })
}

func TestDevTakesTheNextFreePortsAndKeepsState(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:4222"} {
		occupied(t, address)
	}
	dir := filepath.Join(t.TempDir(), "data")
	dev := start(t, "dev", "--data-dir", dir)
	hint := dev.prints(`second terminal: baton --admin (\S+) sim message`)
	out := dev.out.String()
	for _, line := range []string{
		`port 8080 is taken, webhooks and Graph API is on 127\.0\.0\.1:80\d\d`, `port 8081 is taken, admin is on 127\.0\.0\.1:80\d\d`,
		`port 4222 is taken, NATS is on 127\.0\.0\.1:42\d\d`, `starting: embedded NATS`, `faq-bot is primary, live-agent and survey listen`,
		`to forget everything: rm -r ` + regexp.QuoteMeta(dir),
	} {
		if !regexp.MustCompile(line).MatchString(out) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	d := &desk{t: t, admin: hint[1]}
	d.greet()
	dev.prints(`→ faq-bot messaging "where is my order\?"`)
	dev.prints(`→ agent standby`)
	if code := dev.stop(); code != exitDone {
		t.Fatalf("exit code %d: %s", code, dev.errors.String())
	}
	for line := range strings.Lines(dev.errors.String()) {
		if !strings.Contains(line, "trying again") { // what a slow disk gives reason to say
			t.Errorf("said without need: %s", line)
		}
	}

	again := start(t, "dev", "--data-dir", dir)
	d.admin = again.prints(`second terminal: baton --admin (\S+) sim message`)[1]
	if out := d.ok("thread show " + devThread); !regexp.MustCompile(`owner +faq-bot`).MatchString(out) {
		t.Error("state is lost over a restart:", out)
	}
	if out := d.ok("sim show"); !strings.Contains(out, "where is my order?") {
		t.Error("the platform has forgotten:", out)
	}
	if out := d.ok("replay"); !regexp.MustCompile(`equal +true`).MatchString(out) {
		t.Error(out)
	}
	second := baton(t.Context(), "dev", "--data-dir", dir)
	wantFailure(t, second, exitUsage, regexp.QuoteMeta(dir)+`.*(in use|locked|another)`)
}

func TestDemoProvesItselfAndLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	a := baton(t.Context(), "demo")
	if a.code != exitDone || a.errors != "" {
		t.Fatalf("%+v", a)
	}
	for _, line := range []string{
		`→ faq-bot messaging "where is my order\?"`, `→ agent standby`, `refused: .*2018300`, `clock: \+25h0m0s`,
		`expired +faq-bot → idle by the clock`, `hash chain intact over \d+ events; replay agrees with the running store`,
	} {
		if !regexp.MustCompile(line).MatchString(a.out) {
			t.Errorf("no %q in\n%s", line, a.out)
		}
	}
	if left := must(os.ReadDir(tmp)); len(left) != 0 {
		t.Error("the demo leaves", left)
	}
}

// program prepares the program itself as a process of its own.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, out *transcript) {
	t.Helper()
	out = new(transcript)
	cmd = exec.CommandContext(t.Context(), must(os.Executable()), args...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

func TestSignalsEndTheProgramCleanly(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "baton.yaml", minimal(t.TempDir(), ""))
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		cmd, out := program(t, "serve", "--config", file)
		admin := ""
		await(t, func() bool {
			if m := regexp.MustCompile(up).FindStringSubmatch(out.String()); m != nil {
				admin = m[2]
			}
			return admin != ""
		}, out.String)
		d := &desk{t: t, admin: admin}
		d.ok("sim message", "hello")
		watch, watched := program(t, "--admin", admin, "thread", "watch")
		tail, tailed := program(t, "--admin", admin, "log", "tail", "-f")
		await(t, func() bool { return tailed.String() != "" }, tailed.String)
		for _, p := range []*exec.Cmd{watch, tail} {
			_ = p.Process.Signal(syscall.SIGINT)
			if err := p.Wait(); err != nil {
				t.Errorf("%s after Ctrl-C: %v\n%s%s", p.Args, err, watched.String(), tailed.String())
			}
		}
		began := time.Now()
		_ = cmd.Process.Signal(signal)
		if err := cmd.Wait(); err != nil || time.Since(began) > 10*time.Second {
			t.Errorf("%s: %v after %s\n%s", name, err, time.Since(began), out.String())
		}
	}
}
