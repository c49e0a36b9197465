package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/services/ownership"
)

// streamFiles are the block files of a stream in a data directory.
func streamFiles(t *testing.T, dir, stream string) (blocks []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, stream+"/msgs/") {
			switch {
			case strings.HasSuffix(path, ".blk"):
				blocks = append(blocks, path)
			case filepath.Base(path) == "index.db": // what was not synced is not known either
				return os.Remove(path)
			}
		}
		return err
	})
	if err != nil || len(blocks) == 0 {
		t.Fatal("no blocks of", stream, err)
	}
	return blocks
}

// loseTail cuts the last bytes off a stream, as a power cut does without fsync.
func loseTail(t *testing.T, dir, stream string, size int64) {
	t.Helper()
	blocks := streamFiles(t, dir, stream)
	last := blocks[len(blocks)-1]
	info, err := os.Stat(last)
	if err != nil || info.Size() <= size {
		t.Fatal(err, "nothing would be left of", last)
	}
	if err := os.Truncate(last, info.Size()-size); err != nil {
		t.Fatal(err)
	}
}

// TestALostTailOfTheLogComesBackFromTheStore: the partitions concerned halt and
// say so, the others go on; doctor --repair writes the lost records to the log
// again, puts the cursors where they are now, and tells later what it did.
func TestALostTailOfTheLogComesBackFromTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	talked := people(d, 0, 12)
	d.until(`lag +0|active`, "app ls")
	before := owners(d)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	loseTail(t, dir, "BATON_LOG", 3000)

	d = newDesk(t, dir)
	a := d.run("doctor")
	halted := regexp.MustCompile(`partition (\d+): it has halted: .*the log ends at`).FindAllStringSubmatch(a.out, -1)
	if a.code != exitFailure || len(halted) == 0 || len(halted) == 64 || !strings.Contains(a.out, "baton doctor --repair --dry-run") {
		t.Fatalf("exit code %d, %d halted\n%s", a.code, len(halted), a.out)
	}
	ready := ""
	await(t, func() bool {
		_, ready = get(t, http.DefaultClient, d.admin+"/readyz")
		return strings.Contains(ready, `"partition `+halted[0][1]+`"`) && strings.Contains(ready, "halted: the store has applied") &&
			strings.Contains(ready, `"status": "degraded"`)
	}, func() string { return "/readyz: " + ready })
	await(t, func() bool {
		_, metrics := get(t, http.DefaultClient, d.admin+"/metrics")
		return strings.Contains(metrics, fmt.Sprintf("baton_partitions_halted %d\n", len(halted))) && !strings.Contains(metrics, "baton_deliveries_halted 0\n")
	}, func() string { return "metrics of what is halted" })
	d.fails(exitUsage, "go with --repair", "doctor --dry-run")
	d.fails(exitUsage, "is not PARTITION:POSITION", "doctor --repair --accept-loss 5")
	d.fails(exitUsage, "there are 64", "doctor --repair --partition 64")
	d.fails(exitUsage, "ends at", "doctor --repair --accept-loss "+halted[0][1]+":99999")
	dry := d.ok("doctor --repair --dry-run")
	if !strings.Contains(dry, "would do") || !strings.Contains(dry, "restore") {
		t.Errorf("dry run:\n%s", dry)
	}
	done := d.ok("doctor --repair")
	if strings.Count(done, ": restore: ") != len(halted) || !strings.Contains(done, "written to it again") {
		t.Errorf("repair:\n%s", done)
	}
	d.until(`partitions: 64 held`, "doctor")
	after := d.ok("doctor")
	if strings.Contains(after, "halted") && !strings.Contains(after, "repair ") || strings.Count(after, "(done)") < 2*len(halted) || !strings.Contains(after, " by local: partition "+halted[0][1]) {
		t.Errorf("doctor afterwards:\n%s", after)
	}
	if now := owners(d); now != before {
		t.Errorf("threads before\n%s\nand after\n%s", before, now)
	}
	people(d, 12, 14)
	d.ok("log verify")
	d.ok("replay")
	if d.ok("doctor --repair"); talked == 0 {
		t.Error("nobody talked")
	}
}

// owners are the threads with their owners, without the times.
func owners(d *desk) string {
	d.t.Helper()
	return regexp.MustCompile(`\d{4}-\S+Z`).ReplaceAllString(d.ok("thread ls --limit 1000"), "")
}

// people have some people write to the page and waits until they have threads.
func people(d *desk, from, to int) int {
	d.t.Helper()
	for n := from; n < to; n++ {
		d.ok("sim message", "100200300400500", fmt.Sprint(9100+n), "hello")
	}
	await(d.t, func() bool { return strings.Count(d.ok("thread ls --limit 1000"), "  91") >= to }, func() string {
		return d.ok("thread ls --limit 1000")
	})
	return to - from
}

// TestAStoreThatCannotBeOpenedIsMovedAside and rebuilt from the log; what it was
// is kept.
func TestAStoreThatCannotBeOpenedIsMovedAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	people(d, 0, 5)
	before := owners(d)
	file := write(t, t.TempDir(), "baton.yaml", strings.Replace(minimal(dir, ""), "partitions: 4", "partitions: 64", 1))
	wantFailure(t, baton(t.Context(), "doctor", "--repair", "--config", file), exitUsage, "stop that Baton first")
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	manifests, err := filepath.Glob(filepath.Join(dir, "store", "MANIFEST-*"))
	if err != nil || len(manifests) != 1 {
		t.Fatal(manifests, err)
	}
	if err := os.Remove(manifests[0]); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(store.Options{Dir: filepath.Join(dir, "store")})
	if err = openFailure(err); exitCode(err) != exitFailure || !strings.Contains(err.Error(), "baton doctor --repair --config FILE moves the store aside") {
		t.Errorf("a start: %v", err)
	}
	if a := baton(t.Context(), "doctor", "--repair", "--dry-run", "--config", file); a.code != exitDone || !strings.Contains(a.out, "would do") {
		t.Errorf("%+v", a)
	}
	if a := baton(t.Context(), "doctor", "--repair", "--config", file); a.code != exitDone || !strings.Contains(a.out, "move-store") {
		t.Fatalf("%+v", a)
	}
	if aside, err := filepath.Glob(filepath.Join(dir, "store.damaged-*")); err != nil || len(aside) != 1 {
		t.Errorf("set aside: %v %v", aside, err)
	}
	if a := baton(t.Context(), "doctor", "--repair", "--config", file); a.code != exitDone || !strings.Contains(a.out, "nothing is halted") {
		t.Errorf("once more: %+v", a)
	}
	d = newDesk(t, dir)
	if now := owners(d); now != before {
		t.Errorf("threads before\n%s\nand after\n%s", before, now)
	}
	if out := d.run("doctor").out; !strings.Contains(out, "move-store") {
		t.Errorf("doctor does not tell of the repair:\n%s", out)
	}
	d.ok("replay")
}

// TestTheJournalOfRepairsSurvivesACrash: a line that was cut is left out, and a
// step that was begun and did not end is told of.
func TestTheJournalOfRepairsSurvivesACrash(t *testing.T) {
	t.Parallel()
	book := newRepairBook(t.TempDir(), "a")
	step := stepOf(ownership.Step{Partition: 3, Way: "rebuild", What: "all of it"})
	for _, outcome := range []string{repairBegun, repairDone, repairBegun} {
		if err := book.write("ops", step, outcome); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(book.dir, "journal.jsonl")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(data, bytes.Repeat([]byte{'{'}, 9)...), 0o600); err != nil {
		t.Fatal(err)
	}
	notes, err := book.read()
	if err != nil || len(notes) != 3 || notes[0].GetWho() != "ops" || notes[0].GetNode() != "a" || notes[0].GetAt() == "" {
		t.Fatal(notes, err)
	}
	e := &examination{}
	(&node{repairs: book}).examineRepairs(e)
	if len(e.findings) != 1 || !strings.Contains(e.findings[0].GetWhat(), "was begun and did not end") {
		t.Errorf("%v", e.findings)
	}
}
