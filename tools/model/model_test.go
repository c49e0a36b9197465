package model_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var full = flag.Bool("full", false, "check with larger bounds: minutes, and 2 GB of memory")

// bounds of an exhaustive check.
type bounds struct{ holders, records, commands int }

func (b bounds) defines() []string {
	return []string{
		fmt.Sprintf("-DHOLDERS=%d", b.holders), fmt.Sprintf("-DRECORDS=%d", b.records), fmt.Sprintf("-DCOMMANDS=%d", b.commands),
	}
}

// The fence as designed has no run in which one of the properties breaks.
func TestFenceHolds(t *testing.T) {
	t.Parallel()
	needSpin(t)
	all := []bounds{{holders: 2, records: 5, commands: 2}}
	switch {
	case *full:
		all = []bounds{
			{holders: 2, records: 6, commands: 3}, {holders: 2, records: 7, commands: 2}, {holders: 3, records: 5, commands: 2},
		}
	case !testing.Short():
		all = append(all, bounds{holders: 3, records: 4, commands: 1})
	}
	for _, b := range all { //nolint:paralleltest // one after the other: each takes gigabytes
		t.Run(fmt.Sprintf("%d holders, %d records, %d commands", b.holders, b.records, b.commands), func(t *testing.T) {
			v := check(t, "-O2", b.defines()...)
			if v.violated != "" {
				t.Fatalf("%s\n%s", v.violated, v.trail)
			}
			if v.unreached != nil {
				t.Errorf("no run comes to these states, so the model proves less than it says:\n%s", strings.Join(v.unreached, "\n"))
			}
			t.Logf("%s states, all of them", v.states)
		})
	}
}

// Each hole that the design closes is found when it is opened.
func TestFenceHolesAreFound(t *testing.T) {
	t.Parallel()
	needSpin(t)
	for _, hole := range []struct {
		why, defines, breaks string
	}{
		{"records are pipelined with predicted sequences", "-DPIPELINING", "stale_record"},
		{"records are pipelined, and readers skip those of ended epochs", "-DPIPELINING -DREADERS_SKIP", "lost"},
		{"an unknown outcome is resolved by reading", "-DRESOLVE_BY_READING", "denied_but_done"},
		{"answers that log nothing go out without a barrier", "-DNO_BARRIER", "zombie_answered"},
		{"answers that log nothing wait for a barrier begun before the question", "-DBARRIER_BEFORE", "zombie_answered"},
		{"a claim expects the stream's end instead of what was applied", "-DCLAIM_UNREAD", "stale_record"},
		{"a claim expects the stream's end, and readers skip what that breaks", "-DCLAIM_UNREAD -DREADERS_SKIP", "zombie_answered"},
		{"callers are answered before the log has acknowledged", "-DANSWER_FIRST", "lost"},
	} {
		t.Run(hole.why, func(t *testing.T) {
			t.Parallel()
			v := check(t, "-O0", strings.Fields(hole.defines)...)
			if want := "!(" + hole.breaks + ")"; v.violated != want {
				t.Errorf("found %q, want %q\n%s", v.violated, want, v.trail)
			}
		})
	}
}

// The model is not empty: it has a run of two tenures in which every command
// is decided and acknowledged.
func TestFenceLives(t *testing.T) {
	t.Parallel()
	needSpin(t)
	if v := check(t, "-O0", "-DRECORDS=4", "-DWITNESS"); !strings.Contains(v.violated, "granted") {
		t.Errorf("no such run; found %q", v.violated)
	}
}

// verdict is what the checker printed.
type verdict struct {
	violated  string // the assertion
	trail     string // the steps to it
	states    string // how many were visited
	unreached []string
}

var (
	assertion = regexp.MustCompile(`assertion violated +(.+) \(at depth`)
	stored    = regexp.MustCompile(`(\d+) states, stored`)
	never     = regexp.MustCompile(`(?m)^\t.*fence\.pml:\d+, state \d+, .*$`)
)

// check builds a checker of the model with the defines and runs it to its end or
// to the first violation.
func check(t *testing.T, optimise string, defines ...string) verdict {
	t.Helper()
	dir := t.TempDir()
	source, err := os.ReadFile("fence.pml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fence.pml"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "spin", append(defines, "-a", "fence.pml")...)
	run(t, dir, "gcc", optimise, "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=4000", "-o", "pan", "pan.c")
	// -E: a holder that has no record left to send stands still, and may.
	out := run(t, dir, "./pan", "-E", "-m100000")
	if strings.Contains(out, "max search depth too small") || strings.Contains(out, "Search not completed") && !assertion.MatchString(out) {
		t.Fatalf("the search was cut short:\n%s", out)
	}
	var v verdict
	if m := stored.FindStringSubmatch(out); m != nil {
		v.states = m[1]
	}
	if m := assertion.FindStringSubmatch(out); m != nil {
		v.violated = strings.TrimSpace(m[1])
		v.trail = run(t, dir, "spin", append(defines, "-t", "-p", "-g", "fence.pml")...)
		return v
	}
	for _, line := range never.FindAllString(out, -1) {
		if !strings.Contains(line, `"-end-"`) {
			v.unreached = append(v.unreached, line)
		}
	}
	return v
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// needSpin skips the test where Spin or its C compiler is not installed; a
// pipeline must not skip it.
func needSpin(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"spin", "gcc"} {
		_, err := exec.LookPath(tool)
		switch {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatalf("no %s: %v", tool, err)
		default:
			t.Skipf("no %s (make model installs it where it can): %v", tool, err)
		}
	}
}
