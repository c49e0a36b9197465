package controltest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Block is one script: a row of the conformance table or a scenario.
type Block struct {
	File  string
	ID    string
	Modes []string
	Lines []Line
}

// Line is a command, comment or set-up line and the output that is expected
// after it.
type Line struct {
	Text   string
	Output []string
}

// Load reads the script files that match pattern.
func Load(tb testing.TB, pattern string) []Block {
	tb.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		tb.Fatalf("no scripts match %s: %v", pattern, err)
	}
	var blocks []Block
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		blocks = append(blocks, parse(tb, file, string(text))...)
	}
	return blocks
}

func parse(tb testing.TB, file, text string) []Block {
	tb.Helper()
	var blocks []Block
	for chunk := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(strings.Trim(chunk, "\n"), "\n")
		head := strings.Fields(lines[0])
		if len(head) < 4 || head[2] != "in" {
			tb.Fatalf("%s: %q does not start a block", file, lines[0])
		}
		b := Block{File: file, ID: head[0] + " " + head[1], Modes: head[3:]}
		for _, line := range lines[1:] {
			if out, isOutput := strings.CutPrefix(line, "  "); isOutput {
				last := &b.Lines[len(b.Lines)-1]
				last.Output = append(last.Output, out)
				continue
			}
			b.Lines = append(b.Lines, Line{Text: line})
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// Options says how to run scripts.
type Options struct {
	// Decide is what is tested; control.Decide when nil.
	Decide Decider
	// Deliveries lists an event's deliveries, one line each; when nil, expected
	// deliveries are not compared.
	Deliveries func(*World, Decided) []string
	// Rewrite writes what was decided to the files in place of what was
	// expected.
	Rewrite bool
}

// Run runs every block in every mode as a subtest.
func Run(t *testing.T, blocks []Block, o Options) {
	t.Helper()
	if o.Rewrite {
		rewrite(t, blocks, o)
	}
	for _, b := range blocks {
		for _, mode := range b.Modes {
			t.Run(b.ID+" "+mode, func(t *testing.T) {
				if diff := Check(b, mode, o); diff != "" {
					t.Errorf("%s: %s in mode %s (-want +got)\n%s", b.File, b.ID, mode, diff)
				}
			})
		}
	}
}

// Check runs one block in one mode and returns the difference to what it
// expects, empty for none.
func Check(b Block, mode string, o Options) string {
	w := newWorld(mode, o)
	var want, got []string
	for _, line := range b.Lines {
		out, err := w.do(line.Text)
		if err != nil {
			return fmt.Sprintf("%q: %v", line.Text, err)
		}
		want = append(append(want, line.Text), compared(line.Output, o)...)
		got = append(append(got, line.Text), out...)
	}
	if slices.Equal(want, got) {
		return ""
	}
	return cmp.Diff(want, got)
}

func compared(output []string, o Options) []string {
	if o.Deliveries != nil {
		return output
	}
	var rest []string
	for _, line := range output {
		if !strings.HasPrefix(line, "-> ") {
			rest = append(rest, line)
		}
	}
	return rest
}

func rewrite(t *testing.T, blocks []Block, o Options) {
	t.Helper()
	files := map[string]*strings.Builder{}
	for i := range blocks {
		b := &blocks[i]
		text := files[b.File]
		if text == nil {
			text = &strings.Builder{}
			files[b.File] = text
		} else {
			text.WriteString("\n")
		}
		fmt.Fprintf(text, "%s in %s\n", b.ID, strings.Join(b.Modes, " "))
		w := newWorld(b.Modes[0], o)
		for j := range b.Lines {
			out, err := w.do(b.Lines[j].Text)
			if err != nil {
				t.Fatalf("%s: %s: %q: %v", b.File, b.ID, b.Lines[j].Text, err)
			}
			b.Lines[j].Output = out
			fmt.Fprintln(text, b.Lines[j].Text)
			for _, line := range out {
				fmt.Fprintln(text, "  "+line)
			}
		}
	}
	for file, text := range files {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
