package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMaskHidesWhatDiffersFromRunToRun(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"since  2026-11-21T22:59:10.174Z  x", "since 2027-01-01T00:00:00Z x"},
		{"22:59:10.174  38-4  passed", "01:02:03.004 38-17 passed"},
		{"sent  m_F184Bvg26WsCq0ptlLjz8rIHXSvrztal1Rw3mOIrw8o", "sent m_aaaaaaaaaaaaaaaaaa-_a"},
		{"admin http://127.0.0.1:8081 (x)", "admin http://127.0.0.1:8099 (x)"},
		{"took 12ms and 3.5s", "took 1.25ms and 40s"},
		{"digest bf4ab2852a93727b11e06a85664d0cef", "digest 00aa00aa00aa00aa00aa"},
		{"baton sim message", "baton --admin http://127.0.0.1:9999 sim message"},
		{"trailing", "trailing   "},
		{"verified  … events in … records", "verified  71 events in 134 records"},
	} {
		if !matchLine(pair[0], pair[1]) {
			t.Errorf("%q (%q) does not match %q (%q)", pair[0], mask(pair[0]), pair[1], mask(pair[1]))
		}
	}
}

func TestMaskKeepsWhatTheDocumentPromises(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{
		{"user 9001234567890123", "user 9001234567890124"},
		{"38-4 passed", "39-4 passed"},
		{"owner faq-bot", "owner live-agent"},
		{"+25h0m0s", "+24h0m0s"},
		{"a … c", "a b"},
		{"…x", "xy"},
		{"ab…ba", "aba"},
	} {
		if matchLine(pair[0], pair[1]) {
			t.Errorf("%q matches %q", pair[0], pair[1])
		}
	}
}

func TestEllipsisAloneStandsForAnyLines(t *testing.T) {
	t.Parallel()
	got := []string{"one", "two", "three"}
	for _, want := range [][]string{{"…"}, {"one", "…", "three"}, {"…", "three"}, {"one", "two", "three", "…"}, {"…", "two", "…"}} {
		if !matchLines(want, got) {
			t.Errorf("%q does not match", want)
		}
	}
	for _, want := range [][]string{nil, {"…", "two"}, {"one", "…", "two"}, {"one", "three"}, {"one", "two", "three", "four"}} {
		if matchLines(want, got) {
			t.Errorf("%q matches", want)
		}
	}
}

func TestParseFindsBlocksAndTheirLines(t *testing.T) {
	t.Parallel()
	blocks, err := parse("# t\n```console\n$ a \\\n  b\nout\n\n$ c\n```\n\n1. in a list\n\n   ```sh\n   make it\n   ```\n```\n$ text\n```\n````yaml\n# baton.yaml\n```\n````\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []block{
		{"console", 3, []string{`$ a \`, "  b", "out", "", "$ c"}},
		{"sh", 13, []string{"make it"}},
		{"", 16, []string{"$ text"}},
		{"yaml", 19, []string{"# baton.yaml", "```"}},
	}
	if diff := cmp.Diff(want, blocks, cmp.AllowUnexported(block{})); diff != "" {
		t.Fatal(diff)
	}
	steps, err := blocks[0].steps()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]step{{"a \\\n  b", 3, []string{"out"}}, {"c", 7, nil}}, steps, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
	if runs := []bool{blocks[0].runs(), blocks[1].runs(), blocks[2].runs(), blocks[3].runs()}; !cmp.Equal(runs, []bool{true, true, false, true}) {
		t.Error(runs)
	}
}

func TestParseRefusesWhatCannotBeRun(t *testing.T) {
	t.Parallel()
	if _, err := parse("a\n```sh\nb\n"); err == nil || !strings.HasPrefix(err.Error(), "2:") {
		t.Error(err)
	}
	if _, err := (block{lang: "console", line: 3, lines: []string{"", "out"}}).steps(); err == nil || !strings.HasPrefix(err.Error(), "4:") {
		t.Error(err)
	}
}

func TestCommandsAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"make run", "bin/baton serve --config x", "bin/baton thread watch", "bin/baton --admin http://x log tail -n 3 -f"} {
		if !inBackground(c) || repeatable(c) && !strings.Contains(c, "tail") {
			t.Errorf("%s is not in the background", c)
		}
	}
	for _, c := range []string{"bin/baton thread show 1 2 | head -3", "bin/baton thread ls -o json", "bin/baton replay", "curl -s http://127.0.0.1:8081/readyz", "bin/baton sim show", "bin/baton log verify"} {
		if !repeatable(c) || inBackground(c) {
			t.Errorf("%s is not repeated", c)
		}
	}
	for _, c := range []string{"bin/baton thread take 1 2 x", "bin/baton sim message hi", "curl -X POST http://x", "curl http://x -d a=b", "bin/baton log export f", "bin/baton sim clock +24h"} {
		if repeatable(c) || inBackground(c) {
			t.Errorf("%s is repeated", c)
		}
	}
	if _, ok := skipped("make test"); !ok {
		t.Error("make test would run the tests that run it")
	}
}

// quick are waits for tests.
func quick() waits {
	return waits{command: 20 * time.Second, repeat: 2 * time.Second, start: 20 * time.Second, stop: 5 * time.Second}
}

// document runs a README in a repository of these files.
func document(t *testing.T, readme string, files map[string]string) (ran int, printed string, err error) {
	t.Helper()
	root := t.TempDir()
	files["README.md"] = readme
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	ran, err = testDocument(t.Context(), root, "README.md", quick(), &out)
	return ran, out.String(), err
}

func fenced(lang string, lines ...string) string {
	return "```" + lang + "\n" + strings.Join(lines, "\n") + "\n```\n"
}

func TestADocumentThatTellsTheTruthPasses(t *testing.T) {
	t.Parallel()
	ran, printed, err := document(t, "# T\n"+
		fenced("console", "$ cat file", "content", "$ export A=1; cd /", "$ pwd; echo $A", "/", "1", "$ (exit 3); echo $?", "3", "$ make check", "whatever")+
		fenced("console", "$ echo 'baton: refused' >&2; false", "baton: refused", "$ echo $?", "1")+
		fenced("sh", "x=2", "test $x = 2")+
		fenced("text", "$ false"), map[string]string{"file": "content\n"})
	if err != nil || ran != 3 {
		t.Fatalf("%d blocks: %v\n%s", ran, err, printed)
	}
	if !strings.Contains(printed, "make check  (not run: ") {
		t.Error(printed)
	}
}

func TestADocumentThatIsWrongFailsWithItsLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ readme, want string }{
		"output":          {fenced("console", "$ printf 'a\\nb\\nc\\n'", "a", "x", "c"), "README.md:4: $ printf 'a\\nb\\nc\\n'\n  a\n- x\n+ b\n  c"},
		"missing output":  {fenced("console", "$ true", "a"), "README.md:3: $ true\n- a"},
		"more output":     {fenced("console", "$ echo a"), "README.md:2: $ echo a\n+ a"},
		"exit code":       {fenced("console", "$ false"), "README.md:2: $ false\nexit code 1"},
		"shown failure":   {fenced("console", "$ echo 'baton: x'", "baton: x"), "exit code 0"},
		"script":          {fenced("sh", "true", "exit 4"), "README.md:2: $ true\nexit 4\nexit code 4"},
		"unknown command": {fenced("console", "$ no-such-command-here"), "README.md:2: "},
		"open block":      {"```sh\n", "README.md: 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := document(t, c.readme, map[string]string{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q in %v", c.want, err)
			}
		})
	}
}

func TestAPromisedDemoIsRun(t *testing.T) {
	t.Parallel()
	files := func(code string) map[string]string {
		return map[string]string{"Makefile": "demo:\n\t@exit " + code + "\n"}
	}
	if ran, printed, err := document(t, "# T\n`make demo` plays.\n", files("0")); err != nil || ran != 1 {
		t.Error(ran, err, printed)
	}
	if _, _, err := document(t, "# T\n`make demo` plays.\n", files("1")); err == nil || !strings.Contains(err.Error(), "README.md:2: $ make demo") {
		t.Error(err)
	}
	if ran, _, err := document(t, "`make demo`\n"+fenced("console", "$ make demo"), files("0")); err != nil || ran != 1 {
		t.Error(ran, err)
	}
}

// server is a Makefile whose make run says where it listens, and goes on until
// SIGTERM.
const server = `
run:
	@mkfifo pipe; exec bash -c 'exec 3<>pipe; trap "exit $(CODE)" TERM; echo "port 8081 is taken"; echo "admin  http://127.0.0.1:9876"; said=; while :; do read -r -t 0.02 -u 3; if [ -e said ] && [ -z "$$said" ]; then said=1; echo "→ b"; echo "→ a"; fi; done'
CODE ?= 0
`

func TestABackgroundCommandIsComparedAsItGoesAndStopped(t *testing.T) {
	t.Parallel()
	readme := fenced("console", "$ make run", "admin  http://127.0.0.1:8081", "…", "→ a", "→ b") +
		fenced("console", "$ touch said; echo $BATON_ADMIN http://127.0.0.1:8081/x", "http://127.0.0.1:1 http://127.0.0.1:1/x")
	_, printed, err := document(t, readme, map[string]string{"Makefile": server})
	if err != nil {
		t.Fatal(err, printed)
	}
	if !strings.Contains(printed, "make run  (stopped in ") {
		t.Error(printed)
	}
	_, _, err = document(t, strings.Replace(readme, "→ b", "→ c", 1), map[string]string{"Makefile": server})
	if err == nil || !strings.Contains(err.Error(), "README.md:6: $ make run") {
		t.Error("a delivery that never came:", err)
	}
	_, _, err = document(t, readme, map[string]string{"Makefile": strings.Replace(server, "$(CODE)", "7", 1)})
	if err == nil || !strings.Contains(err.Error(), "exit status") {
		t.Error("an end with a failure:", err)
	}
	_, _, err = document(t, fenced("console", "$ make run", "never"), map[string]string{"Makefile": "run:\n\t@false\n"})
	if err == nil || !strings.Contains(err.Error(), "it has ended") {
		t.Error("a server that does not start:", err)
	}
}

func TestReadOnlyCommandsAreRepeatedUntilTheyAgree(t *testing.T) {
	t.Parallel()
	_, printed, err := document(t, fenced("console",
		`$ mkdir bin; printf '#!/bin/sh\necho x >>n; wc -l <n | tr -d " "\n' >bin/baton; chmod +x bin/baton`,
		"$ bin/baton thread ls", "3",
		"$ bin/baton thread pass", "4"), map[string]string{})
	if err != nil {
		t.Fatal(err, printed)
	}
}

func TestRunIsBoundedInTime(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "README.md"), []byte(fenced("console", "$ sleep 60 | cat")), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"-root", root, "-within", "200ms"}, &out); code != 1 || !strings.Contains(out.String(), "did not end") {
		t.Error(code, out.String())
	}
	if code := run(t.Context(), []string{"-nonsense"}, &out); code != 2 {
		t.Error(code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"-root", root}, &out); code != 1 {
		t.Error(code)
	}
}
