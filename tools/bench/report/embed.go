package report

import (
	"fmt"
	"os"
	"strings"
)

// The lines between which Embed puts its table.
const (
	embedBegin = "<!-- figures: written by make bench ARGS='--write README.md' -->"
	embedEnd   = "<!-- /figures -->"
)

// Embed replaces the table of a document by the verdicts of a report.
func Embed(file string, r *Report) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found1 := strings.Cut(string(text), embedBegin)
	_, after, found2 := strings.Cut(rest, embedEnd)
	if !found1 || !found2 {
		return fmt.Errorf("%s: the lines %q and %q are not there", file, embedBegin, embedEnd)
	}
	text = []byte(before + embedBegin + "\n\n" + r.markdown() + "\n" + embedEnd + after)
	return os.WriteFile(file, text, 0o644) //nolint:gosec // a document that everybody reads
}

func (r *Report) markdown() string {
	var t strings.Builder
	_, _ = fmt.Fprintf(&t, "Measured %s, version %s, %d cores (%s), %s, %s.\n\n", r.Began.UTC().Format("2006-01-02"), r.Version,
		r.Machine.Cores, r.Machine.Model, r.Machine.System, r.Machine.Go)
	t.WriteString("| what | median | spread | wanted | |\n|---|---|---|---|---|\n")
	for _, v := range r.Targets {
		_, _ = fmt.Fprintf(&t, "| %s | %s |\n", v.Text, strings.ReplaceAll(verdict(v), "\t", " | "))
	}
	return t.String()
}
