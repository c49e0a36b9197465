package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes the figures and the verdicts as tables.
func (r *Report) Print(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "baton %s, %s: %d cores (%s), %s, %s, %s\n", r.Version, r.Began.UTC().Format("2006-01-02 15:04"),
		r.Machine.Cores, r.Machine.Model, r.Machine.Memory, r.Machine.System, r.Machine.Go)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	part := ""
	for _, f := range r.Figures {
		if p, _, _ := strings.Cut(f.Name, "/"); p != part {
			part = p
			_, _ = fmt.Fprintf(w, "\n%s\tmedian\tspread\trounds\n", strings.ToUpper(p))
		}
		_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%d\n", strings.TrimPrefix(f.Name, part+"/"), quantity(f.Median(), f.Unit), spread(f), len(f.Rounds))
	}
	if len(r.Targets) > 0 {
		_, _ = fmt.Fprintf(w, "\nTARGETS\tmedian\tspread\twanted\tverdict\n")
	}
	for _, v := range r.Targets {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", v.Text, verdict(v))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range r.Skipped {
		_, _ = fmt.Fprintln(out, "\nskipped:", s)
	}
	if r.Fault != "" {
		_, _ = fmt.Fprintln(out, "\nFAILED:", r.Fault)
	}
	return nil
}

func verdict(v Verdict) string {
	if !v.Measured {
		return "-\t-\t" + v.Wanted + "\tnot measured"
	}
	word := "missed"
	if v.Reached {
		word = "reached"
	}
	return quantity(v.Median, v.Unit) + "\t" + between(v.Least, v.Most) + "\t" + v.Wanted + "\t" + word
}

func spread(f *Figure) string {
	least, most := f.Spread()
	return between(least, most)
}

func between(least, most float64) string {
	if least == most {
		return ""
	}
	return number(least) + " - " + number(most)
}

func quantity(x float64, unit Unit) string { return strings.TrimRight(number(x)+" "+string(unit), " ") }

// number writes x with three significant digits, or as a whole number.
func number(x float64) string {
	switch magnitude := max(x, -x); {
	case magnitude >= 100 || x == 0:
		return grouped(strconv.FormatFloat(x, 'f', 0, 64))
	case magnitude >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case magnitude >= 1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// Grouped writes a whole number with a comma before each group of three digits.
func Grouped(n int) string { return grouped(strconv.Itoa(n)) }

// grouped puts a comma before each group of three digits.
func grouped(digits string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Write writes the report as JSON.
func (r *Report) Write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o600)
}

// Read reads what Write wrote.
func Read(file string) (*Report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}
