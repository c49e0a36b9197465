package conformance

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Verdict is how a vector went in a mode.
type Verdict string

// The verdicts.
const (
	Passed      Verdict = "passed"
	Failed      Verdict = "failed"
	NotProvable Verdict = "not provable"
)

// Result is a line of the report.
type Result struct {
	Row     string  `json:"row,omitempty"`
	Story   string  `json:"story,omitempty"`
	Mode    Mode    `json:"mode"`
	Verdict Verdict `json:"verdict"`
	// Reason says why a vector could not be tried.
	Reason string `json:"reason,omitempty"`
	// Difference is what came, against what had to come.
	Difference string `json:"difference,omitempty"`
	// Own says why the documents cannot prove the row, whatever its verdict.
	Own    string `json:"own,omitempty"`
	Says   string `json:"says"`
	Source string `json:"source"`
	// Millis is how long it took, the clock's moves not counted.
	Millis int64 `json:"ms"`

	place int
}

// Report is how a server did.
type Report struct {
	Results []Result `json:"results"`
	// Faults are what was wrong with requests to the apps, whatever vector
	// they belonged to: signatures, challenges, bodies.
	Faults []string `json:"faults,omitempty"`

	mu     sync.Mutex
	places map[*trial]int
	byRun  map[*run]int
}

func newReport(trials []*trial) *Report {
	r := &Report{places: map[*trial]int{}, byRun: map[*run]int{}}
	for i, t := range trials {
		r.places[t] = i
		result := t.result()
		if t.lacking != "" {
			result.Verdict, result.Reason = NotProvable, t.lacking
		}
		result.place = i
		r.Results = append(r.Results, result)
	}
	return r
}

func (t *trial) result() Result {
	v := t.vector
	return Result{Row: v.Row, Story: v.Story, Mode: t.mode, Own: v.Own, Says: v.Says, Source: v.Source}
}

func (r *Report) add(c *run, difference string, err error, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := r.places[c.trial]
	r.byRun[c] = i
	result := &r.Results[i]
	result.Millis = took.Milliseconds()
	switch {
	case err != nil:
		result.Verdict, result.Difference = Failed, err.Error()
	case difference != "":
		result.Verdict, result.Difference = Failed, difference
	default:
		result.Verdict = Passed
	}
}

// finish adds what came late, and sorts.
func (r *Report) finish(late map[*run]string, faults []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, difference := range late {
		result := &r.Results[r.byRun[c]]
		if result.Verdict == Passed {
			result.Verdict, result.Difference = Failed, "after the end:\n"+difference
		}
	}
	r.Faults = faults
	slices.SortStableFunc(r.Results, func(a, b Result) int { return cmp.Or(compareRows(a, b), cmp.Compare(a.place, b.place)) })
}

// compareRows puts rows before stories and in the order of the table.
func compareRows(a, b Result) int {
	if d := cmp.Compare(rank(a), rank(b)); d != 0 || a.Row == "" {
		return d
	}
	return cmp.Compare(number(a.Row), number(b.Row))
}

// rank puts the rows of the table first, then the questions that were settled
// beside it, then the stories.
func rank(r Result) int {
	switch {
	case r.Row == "":
		return 2
	case number(r.Row) == 0:
		return 1
	}
	return 0
}

// number is the number of a row of the table, 0 of any other.
func number(row string) int {
	digits, _, _ := strings.Cut(row, "-")
	n, err := strconv.Atoi(strings.TrimSuffix(digits, "b"))
	if err != nil {
		return 0
	}
	return n
}

// Passed reports whether nothing failed.
func (r *Report) Passed() bool {
	return len(r.Faults) == 0 && r.count(Failed) == 0 && r.count(Passed) > 0
}

func (r *Report) count(v Verdict) int {
	n := 0
	for i := range r.Results {
		if r.Results[i].Verdict == v {
			n++
		}
	}
	return n
}

// Write prints the table: a line for each row and story in each mode, what
// differs below it, and the sum.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROW\tMODE\tRESULT\tRULE")
	for i := range r.Results {
		x := &r.Results[i]
		name, verdict, own := cmp.Or(x.Row, x.Story), string(x.Verdict), ""
		if x.Reason != "" {
			verdict += ": " + x.Reason
		}
		if x.Own != "" {
			own = " *"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s%s\t%s\n", name, x.Mode, verdict, own, x.Says)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return r.writeEnd(w)
}

func (r *Report) writeEnd(w io.Writer) error {
	var b strings.Builder
	for i := range r.Results {
		if x := &r.Results[i]; x.Difference != "" {
			fmt.Fprintf(&b, "\n%s in mode %s: %s\n%s\n", cmp.Or(x.Row, x.Story), x.Mode, x.Says, indent(x.Difference))
		}
	}
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "\n%s\n", f)
	}
	if r.marked() {
		b.WriteString("\n* Baton's own decision: the documents that are public do not decide it.\n")
	}
	_, err := fmt.Fprintf(w, "%s\n%d passed, %d failed, %d not provable here\n", b.String(), r.count(Passed), r.count(Failed), r.count(NotProvable))
	return err
}

func (r *Report) marked() bool {
	return slices.ContainsFunc(r.Results, func(x Result) bool { return x.Own != "" })
}

func indent(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }
