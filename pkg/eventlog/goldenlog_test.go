package eventlog_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// The golden logs: each is a whole log as a version wrote it, in the form of
// baton log export, with the digests that its fold had then beside it. None may
// ever change. A kind of event that is new gets a log of its own: the test says
// how.
const (
	goldenLogs      = "testdata/golden/*.log"
	goldenHeader    = "baton log export 1\n"
	goldenParts     = 3
	goldenPerPart   = 60
	goldenNewestLog = "testdata/golden/v1-1.log"
)

// TestGoldenLogsFoldAsTheyDid: what a version decided means the same for ever,
// and every kind of event is in some golden log.
func TestGoldenLogsFoldAsTheyDid(t *testing.T) {
	t.Parallel()
	if *rewrite {
		addGoldenLog(t, goldenNewestLog)
	}
	files, err := filepath.Glob(goldenLogs)
	if err != nil || len(files) == 0 {
		t.Fatal("no golden logs", err)
	}
	kinds := map[string]int{}
	for _, file := range files {
		digests, said := foldFile(t, file, kinds), read(t, digestsOf(file))
		if digests != said {
			t.Errorf("%s folds to\n%s\nand folded to\n%s", file, digests, said)
		}
	}
	for _, kind := range eventlogtest.Kinds() {
		if name := fmt.Sprintf("%T", kind); kinds[name] == 0 {
			t.Errorf("%s is in no golden log: give goldenNewestLog a new name and run this test with -rewrite; "+
				"it adds a log and leaves the others as they are", name)
		}
	}
}

// TestGoldenLogsAreChained: a golden log is one as nodes write it, not loose
// records.
func TestGoldenLogsAreChained(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(goldenLogs)
	for _, file := range files {
		var v eventlog.Verifier
		eachGolden(t, file, func(r *eventlog.Record) { v.Check(r) })
		if len(v.Faults()) > 0 || v.Events() == 0 || len(v.Partitions()) != goldenParts {
			t.Errorf("%s: %d events, %v", file, v.Events(), v.Faults())
		}
	}
}

func digestsOf(file string) string { return strings.TrimSuffix(file, ".log") + ".digests.txt" }

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// foldFile returns the digests of a log, a line for each partition and one for
// all, and counts its kinds of events.
func foldFile(t *testing.T, file string, kinds map[string]int) string {
	t.Helper()
	var fold eventlog.Fold
	eachGolden(t, file, func(r *eventlog.Record) {
		for _, e := range r.Entries {
			kinds[fmt.Sprintf("%T", e.Event)]++
		}
		if err := fold.Apply(r); err != nil {
			t.Fatal(file, err)
		}
	})
	var out strings.Builder
	for _, p := range fold.Partitions() {
		part := fold.Partition(p)
		threads := 0
		for range part.Threads() {
			threads++
		}
		fmt.Fprintf(&out, "partition %d position %d threads %d digest %x\n", p, part.Head().Position, threads, part.Digest())
	}
	fmt.Fprintf(&out, "total %x\n", fold.Digest())
	return out.String()
}

func eachGolden(t *testing.T, file string, fn func(*eventlog.Record)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReader(f)
	header := make([]byte, len(goldenHeader))
	if _, err := io.ReadFull(in, header); err != nil || string(header) != goldenHeader {
		t.Fatalf("%s: header %q %v", file, header, err)
	}
	for {
		var size [4]byte
		if _, err := io.ReadFull(in, size[:]); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(file, err)
		}
		raw := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(in, raw); err != nil {
			t.Fatal(file, err)
		}
		r, err := eventlog.Decode(raw)
		if err != nil {
			t.Fatal(file, err)
		}
		fn(&r)
	}
}

// addGoldenLog writes a new golden log: histories of a few partitions in which
// every kind of event occurs. It never replaces one.
func addGoldenLog(t *testing.T, file string) {
	t.Helper()
	if _, err := os.Stat(file); err == nil {
		return
	}
	out := []byte(goldenHeader)
	histories := make([]*eventlogtest.History, goldenParts)
	c := rand.New(rand.NewPCG(2026, 1122))
	for p := range histories {
		histories[p] = eventlogtest.NewHistory(c, uint32(p))
	}
	for range goldenPerPart {
		for _, h := range histories {
			_, raw := h.Next()
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(raw))), raw...)
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, out, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(digestsOf(file), []byte(foldFile(t, file, map[string]int{})), 0o600); err != nil {
		t.Fatal(err)
	}
}
