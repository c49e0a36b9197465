package conformance_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/conformance"
)

func vectors(t *testing.T) []conformance.Vector {
	t.Helper()
	list, err := conformance.Vectors()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// scripted lists the numbers of the rows that the core's scripts run, each with
// its modes.
func scripted(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("../control/testdata/rows/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	rows := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			if len(words) > 3 && words[0] == "row" && words[2] == "in" {
				number, _, _ := strings.Cut(words[1], "-")
				rows[number] = append(rows[number], words[3:]...)
			}
		}
	}
	return rows
}

// TestEveryRowIsAVectorInEveryMode compares the vectors with the scripts of the
// rules: what is a row there, in a mode, is one here.
func TestEveryRowIsAVectorInEveryMode(t *testing.T) {
	t.Parallel()
	have := map[string][]string{}
	for _, v := range vectors(t) {
		for _, mode := range v.In {
			have[v.Number()] = append(have[v.Number()], string(mode))
		}
	}
	rows := scripted(t)
	for number, modes := range rows {
		if _, err := strconv.Atoi(strings.TrimSuffix(number, "b")); err != nil {
			continue // settled beside the table
		}
		for _, mode := range modes {
			if !slices.Contains(have[number], mode) {
				t.Errorf("row %s has no vector in mode %s", number, mode)
			}
		}
	}
	for n := 1; n <= 103; n++ {
		number := strconv.Itoa(n)
		if n < 10 {
			number = "0" + number
		}
		if have[number] == nil || rows[number] == nil {
			t.Errorf("row %s: vectors in modes %v, scripts in modes %v", number, have[number], rows[number])
		}
	}
}

// TestStoriesNameTheirSource: a story stands for a sentence of the
// documentation.
func TestStoriesNameTheirSource(t *testing.T) {
	t.Parallel()
	stories := map[string]bool{}
	for _, v := range vectors(t) {
		if v.Story == "" {
			continue
		}
		stories[v.Story] = true
		if !strings.HasPrefix(v.Source, "Handover Protocol, ") && !strings.HasPrefix(v.Source, "Conversation Routing, ") || v.Own != "" {
			t.Errorf("%s: source %q", v.Name(), v.Source)
		}
	}
	if len(stories) < 9 {
		t.Errorf("%d stories", len(stories))
	}
}

// TestWhatTheDocumentsCannotProveIsMarked holds the vectors to the list below
// the table: rows that no public document decides.
func TestWhatTheDocumentsCannotProveIsMarked(t *testing.T) {
	t.Parallel()
	list := vectors(t)
	for _, row := range []string{
		"09", "10", "15", "16", "17", "24", "39", "46", "48", "50", "52", "58", "59", "55", "75", "76", "80", "81", "82", "85", "86", "87", "88",
		"92", "95",
	} {
		for _, v := range list {
			if v.Row == row && v.Own == "" {
				t.Errorf("row %s in %v is not marked as Baton's own decision", v.Row, v.In)
			}
		}
	}
}
