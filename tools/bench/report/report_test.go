package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() *Report {
	r := &Report{Began: time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC), Version: "v1", Machine: Machine{Cores: 2, Model: "model"}}
	for round, rate := range map[int]float64{1: 800, 2: 1000, 3: 900} {
		r.Add(round, "e2e/webhooks", PerSecond, rate)
		r.Add(round, "base/webhooks", PerSecond, rate/10)
	}
	r.Add(1, "e2e/cpu", Micros, 12.345)
	r.Skip("one thing")
	r.Skip("one thing")
	return r
}

// TestVerdicts: ratios are of the same round, medians decide, and what was not
// measured is not reached.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Add(9, "e2e/webhooks", PerSecond, 5) // a round of its own has no ratio
	r.Judge([]Target{
		{Text: "a", Of: "e2e/webhooks", Over: "base/webhooks", AtLeast: 10},
		{Text: "b", Of: "e2e/webhooks", Over: "base/webhooks", AtLeast: 10.1},
		{Text: "c", Of: "e2e/cpu", AtMost: 12.4},
		{Text: "d", Of: "e2e/cpu", AtMost: 12.3},
		{Text: "e", Of: "nothing", AtMost: 1},
		{Text: "f", Of: "e2e/cpu", Over: "e2e/nothing", AtLeast: 1},
	})
	var got []bool
	for _, v := range r.Targets {
		got = append(got, v.Reached)
	}
	if diff := cmp.Diff([]bool{true, false, true, false, false, false}, got); diff != "" {
		t.Error(diff)
	}
	if v := r.Targets[0]; v.Median != 10 || v.Unit != Times || !v.Measured || r.Targets[4].Measured || r.Targets[5].Measured {
		t.Errorf("%+v", r.Targets)
	}
}

// TestPrintAndWrite: the table says what was measured and what not; the file
// holds the same report; the document gets the verdicts and keeps the rest.
func TestPrintAndWrite(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Judge([]Target{{Text: "rate", Of: "e2e/webhooks", AtLeast: 2000}, {Text: "unknown", Of: "x", AtMost: 1}})
	r.Fault = "one was lost"
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"E2E ", "webhooks  900 /s", "800 - 1,000", "12.3 us", "at least 2,000 /s", "missed", "not measured", "skipped: one thing\n", "FAILED: one was lost"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
	if strings.Count(out.String(), "skipped:") != 1 {
		t.Errorf("skipped twice:\n%s", &out)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "r.json")
	if err := r.Write(file); err != nil {
		t.Fatal(err)
	}
	back, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, back); diff != "" {
		t.Error(diff)
	}
	document := filepath.Join(dir, "README.md")
	if err := os.WriteFile(document, []byte("before\n"+embedBegin+"\nold\n"+embedEnd+"\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Embed(document, r); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(document)
	for _, want := range []string{"before\n" + embedBegin, "| rate | 900 /s | 800 - 1,000 | at least 2,000 /s | missed |", embedEnd + "\nafter\n"} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("not one %q in:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Errorf("the old table is there:\n%s", text)
	}
	if err := Embed(file, r); err == nil {
		t.Error("a document without a place for the table is taken")
	}
}

// TestNumbers have three digits.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 1.005: "1.00", 12.34: "12.3", 123.4: "123", 1234.5: "1,234", 1234567: "1,234,567", -1234: "-1,234", 0.999: "0.999",
	} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %q, want %q", x, got, want)
		}
	}
	f := &Figure{Rounds: map[int]float64{1: 4, 2: 1}}
	if least, most := f.Spread(); f.Median() != 2.5 || least != 1 || most != 4 {
		t.Errorf("%v, %v to %v", f.Median(), least, most)
	}
}
