package archtest

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestNoTestGuessesHowLongSomethingTakes(t *testing.T) {
	t.Parallel()
	faults, err := CheckSleep(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

func TestPlantedSleeps(t *testing.T) {
	t.Parallel()
	const body = "func nap() { time.Sleep(1) }\n"
	for name, c := range map[string]struct {
		file, text string
		faults     int
	}{
		"in a test":     {"a_test.go", "package p\nimport \"time\"\n" + body, 1},
		"in a bubble":   {"a_test.go", "package p\nimport (\"time\"; \"testing/synctest\")\nvar _ = synctest.Wait\n" + body, 0},
		"no sleep":      {"a_test.go", "package p\nimport \"time\"\nvar _ = time.Now\n", 0},
		"the linter's":  {"a.go", "package p\nimport \"time\"\n" + body, 0},
		"another Sleep": {"a_test.go", "package p\nfunc nap(x interface{ Sleep() }) { x.Sleep() }\n", 0},
	} {
		root := t.TempDir()
		write(t, filepath.Join(root, c.file), c.text)
		faults, err := CheckSleep(root)
		if err != nil {
			t.Fatal(err)
		}
		if len(faults) != c.faults || c.faults > 0 && !strings.Contains(faults[0], "a_test.go:3") {
			t.Errorf("%s: faults %q, want %d", name, faults, c.faults)
		}
	}
}
