package proc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test binary a child that doubles numbers.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "double" {
		err := Obey(os.Stdin, os.Stdout, func(n int) (any, error) {
			if n < 0 {
				return nil, errors.New("a negative number")
			}
			return 2 * n, nil
		})
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestChild: orders are answered one by one, faults come back, and the end of
// the input is the end of the child.
func TestChild(t *testing.T) {
	t.Parallel()
	c, err := StartChild(t.Context(), "double")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if got, err := Call[int](c, n); err != nil || got != 2*n {
			t.Errorf("%d, %v", got, err)
		}
	}
	if _, err := Call[int](c, -1); err == nil || err.Error() != "a negative number" {
		t.Errorf("%v", err)
	}
	if u, err := c.Usage(); err != nil || u.Resident == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := Call[int](c, 1); err == nil {
		t.Error("a child that has ended answers")
	}
}

// TestUsageGrows: time spent shows, and the size of files.
func TestUsageGrows(t *testing.T) {
	t.Parallel()
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		sum++
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte(strings.Repeat(string(rune(sum%64+32)), 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := ReadTree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	used := after.Since(before)
	if used.CPU <= 0 || used.Resident == 0 {
		t.Errorf("used %+v", used)
	}
	if n, err := DirBytes(filepath.Dir(file)); err != nil || n < 1<<20 {
		t.Errorf("the directory has %d bytes, %v", n, err)
	}
	if _, err := Read(1 << 30); !os.IsNotExist(err) {
		t.Errorf("of no process: %v", err)
	}
}
