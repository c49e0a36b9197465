package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// masks replace what differs from run to run. The order counts: a time holds
// what looks like a position.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?\b`), "TIME"},
	{regexp.MustCompile(`\bm_[A-Za-z0-9_-]{6,}`), "MID"},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost|\[::1\]):\d+`), "$1:PORT"},
	{regexp.MustCompile(`--admin http://127\.0\.0\.1:PORT `), ""}, // a hint that the usual port was taken
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s)\b`), "DURATION"},
	{regexp.MustCompile(`\b(\d{1,4})-\d{1,12}\b`), "$1-POSITION"},
	{regexp.MustCompile(`[ \t]+`), " "}, // what is masked may be wider or narrower
}

// hexadecimal finds ids and digests; those without a letter are the document's
// own: pages, people, apps.
var hexadecimal = regexp.MustCompile(`\b[0-9a-f]{16,}\b`)

// anything stands for any text; alone on a line, for any lines.
const anything = "…"

// mask hides what differs from run to run.
func mask(line string) string {
	for _, m := range masks {
		line = m.what.ReplaceAllString(line, m.with)
	}
	line = hexadecimal.ReplaceAllStringFunc(line, func(s string) string {
		if strings.ContainsAny(s, "abcdef") {
			return "HEX"
		}
		return s
	})
	return strings.TrimRight(line, " ")
}

// matchLine compares a line of the document with one that was printed.
func matchLine(want, got string) bool {
	want, got = mask(want), mask(got)
	parts := strings.Split(want, anything)
	if len(parts) == 1 {
		return want == got
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(got) < len(first)+len(last) || !strings.HasPrefix(got, first) || !strings.HasSuffix(got, last) {
		return false
	}
	rest := got[len(first) : len(got)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return true
}

func isAnything(line string) bool { return strings.TrimSpace(line) == anything }

// matchLines compares all lines.
func matchLines(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case isAnything(want[0]):
		return matchLines(want[1:], got) || len(got) > 0 && matchLines(want, got[1:])
	}
	return len(got) > 0 && matchLine(want[0], got[0]) && matchLines(want[1:], got[1:])
}

// output splits what a command printed into lines.
func output(text string) []string {
	return trimEnd(strings.Split(text, "\n"))
}

// mismatch is a block that does not do what it says.
type mismatch struct {
	step step
	got  []string
	why  string // what is wrong besides the lines; may be empty
}

func (m mismatch) Error() string {
	var b strings.Builder
	line, diff := difference(m.step, m.got)
	fmt.Fprintf(&b, "%d: $ %s", line, m.step.command)
	if m.why != "" {
		fmt.Fprintf(&b, "\n%s", m.why)
	}
	b.WriteString("\n" + diff)
	return b.String()
}

// difference shows the document's lines (-) and those printed (+), and where in
// the document the first difference is.
func difference(s step, got []string) (line int, text string) {
	var b strings.Builder
	line = s.line
	found := false
	keep := common(s.want, got)
	i, j := 0, 0
	for i < len(s.want) || j < len(got) {
		switch {
		case i < len(s.want) && keep[i] == j && j < len(got):
			b.WriteString("  " + got[j] + "\n")
			i, j = i+1, j+1
		case i < len(s.want) && keep[i] < 0:
			if !found && !isAnything(s.want[i]) {
				found, line = true, s.line+1+i
			}
			b.WriteString("- " + s.want[i] + "\n")
			i++
		default:
			b.WriteString("+ " + got[j] + "\n")
			j++
		}
	}
	return line, strings.TrimRight(b.String(), "\n")
}

// common maps each wanted line to the printed line that it stands for, -1 for
// none: a longest common subsequence.
func common(want, got []string) []int {
	same := func(i, j int) bool { return !isAnything(want[i]) && matchLine(want[i], got[j]) }
	longest := make([][]int, len(want)+1)
	for i := range longest {
		longest[i] = make([]int, len(got)+1)
	}
	for i := range slices.Backward(want) {
		for j := len(got) - 1; j >= 0; j-- {
			if longest[i][j] = max(longest[i+1][j], longest[i][j+1]); same(i, j) {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	keep := make([]int, len(want))
	for i, j := 0, 0; i < len(want); {
		switch {
		case j == len(got) || longest[i+1][j] == longest[i][j] && !same(i, j):
			keep[i] = -1
			i++
		case same(i, j):
			keep[i] = j
			i, j = i+1, j+1
		default:
			j++
		}
	}
	return keep
}
