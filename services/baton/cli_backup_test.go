package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is the files below a directory with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = digest(string(data))
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

const backedUp = `^STREAM +MESSAGES +FIRST +LAST +BYTES\nBATON_CURSOR +64 +\d+ +\d+ +\d+\n(BATON_\S+ +\d+ +\d+ +\d+ +\d+\n){5}%s [0-9a-f]{32}: 64 partitions, \d+ bytes, taken \S+Z\n$`

func wantOut(t *testing.T, out, what string) {
	t.Helper()
	if !regexp.MustCompile(strings.Replace(backedUp, "%s", what, 1)).MatchString(out) {
		t.Errorf("%s: %s", what, out)
	}
}

func TestBackupAndRestoreCommands(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	data, dir, empty := filepath.Join(home, "data"), filepath.Join(home, "backup"), filepath.Join(home, "empty")
	d := newDesk(t, data)
	d.greet()
	wantOut(t, d.ok("backup --dry-run "+dir), "would be read of")
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("a dry run wrote %v", left)
	}
	wantOut(t, d.ok("backup "+dir), "backup of")
	m := decodedJSON(t, d.ok("-o json backup "+dir+"2"))
	if m["partitions"] != float64(64) || m["bundled"] != true || m["version"] != Version {
		t.Error(m)
	}
	d.fails(exitUsage, `backup: not empty: \S+backup holds BATON_CONTROL.s2: name a directory that is empty`, "backup "+dir)
	d.fails(exitUsage, `backup: not empty`, "backup --dry-run "+dir)
	d.fails(exitUsage, `is a file`, "backup "+filepath.Join(dir, "manifest.json"))
	d.fails(exitUsage, `data directory is in use`, "backup --data-dir "+data+" "+dir+"3")
	d.fails(exitUsage, `exclude each other`, "backup --data-dir a --config b "+dir+"3")
	d.fails(exitUsage, `not empty: \S+data holds \S+: a restore needs a directory without an earlier installation`, "restore "+dir+" --data-dir "+data)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}

	t.Log("of a stopped server")
	d.fails(exitNotServed, `cannot be reached`, "backup "+dir+"3")
	wantOut(t, d.ok("backup --data-dir "+data+" "+dir+"3"), "backup of")
	d.fails(exitUsage, `holds no streams: name the data directory of a stopped server`, "backup --data-dir "+empty+" "+dir+"4")
	for _, name := range []string{"3.partial", "4", "4.partial"} {
		if left := tree(t, dir+name); len(left) != 0 {
			t.Errorf("left over: %v", left)
		}
	}

	t.Log("the way back")
	before := baton(t.Context(), "replay", "--data-dir", data)
	wantOut(t, d.ok("restore --dry-run "+dir+"3 --data-dir "+empty), "would be restored:")
	if left := tree(t, empty); len(left) != 0 {
		t.Errorf("a dry run wrote %v", left)
	}
	wantOut(t, d.ok("restore "+dir+"3 --data-dir "+empty), "restored")
	again := newDesk(t, empty)
	again.ok("log verify")
	again.ok("replay")
	if out := again.ok("thread show " + devThread); !strings.Contains(out, "faq-bot") {
		t.Error(out)
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	if after := baton(t.Context(), "replay", "--data-dir", empty); digestIn(after.out) != digestIn(before.out) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

func digestIn(out string) string { return regexp.MustCompile(`digest +([0-9a-f]{64})`).FindString(out) }

// A disk has spoilt a record of the log. The way out that the refusal names loses
// nothing.
func TestADamagedLogComesBackOutOfTheStore(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	data, dir, empty := filepath.Join(home, "data"), filepath.Join(home, "backup"), filepath.Join(home, "empty")
	d := newDesk(t, data)
	d.greet()
	d.fails(exitUsage, `--mend needs a stopped node's store`, "backup --mend "+dir)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	before := baton(t.Context(), "replay", "--data-dir", data)
	spoilLog(t, data)
	d.fails(exitUsage, `BATON_LOG: backup: the log cannot be mended: the server cannot give 1 of its messages: stop the node, then baton backup --mend`,
		"backup --data-dir "+data+" "+dir)
	out := d.ok("backup --mend --data-dir " + data + " " + dir)
	if !strings.HasSuffix(out, "\nmessages of the log put in out of the store: 1\n") {
		t.Error(out)
	}
	d.ok("restore " + dir + " --data-dir " + empty)
	again := newDesk(t, empty)
	again.ok("log verify")
	if out := again.ok("thread show " + devThread); !strings.Contains(out, "faq-bot") {
		t.Error(out)
	}
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	if after := baton(t.Context(), "replay", "--data-dir", empty); digestIn(after.out) == "" || digestIn(after.out) != digestIn(before.out) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

// spoilLog flips a bit of the first record of the log on the disk of a stopped
// server.
func spoilLog(t *testing.T, data string) {
	t.Helper()
	db, err := openOffline(data)
	if err != nil {
		t.Fatal(err)
	}
	part, err := db.Partition(0)
	if err != nil {
		t.Fatal(err)
	}
	var first []byte
	for stored, err := range part.Records(1) {
		if err != nil {
			t.Fatal(err)
		}
		first = bytes.Clone(stored.Raw)
		break
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(data, "nats/jetstream/*/streams/BATON_LOG/msgs/*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("blocks %v: %v", blocks, err)
	}
	block, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(block, first)
	if at < 0 || len(first) == 0 {
		t.Fatal("the record is nowhere")
	}
	block[at+len(first)/2] ^= 4
	if err := os.WriteFile(blocks[0], block, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Every refusal has its exit code and changes nothing.
func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	data, dir, target := filepath.Join(home, "data"), filepath.Join(home, "backup"), filepath.Join(home, "target")
	d := newDesk(t, data)
	d.ok("backup " + dir)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	settings := "listen: {public: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\nplatform: {graph_url: simulator, app_id: \"5\", app_secret: s, verify_token: v}\n"
	embedded := write(t, home, "embedded.yaml", "data_dir: "+target+"\npartitions: 8\nnats: {listen: \"\"}\n"+settings)
	nowhere := write(t, home, "nowhere.yaml", "data_dir: "+target+"\npartitions: 64\nnats: {url: \"nats://127.0.0.1:1\"}\n"+settings)
	partial := filepath.Join(home, "half"+".partial")
	log, err := os.ReadFile(filepath.Join(dir, "BATON_LOG.s2"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), log...)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct { //nolint:paralleltest // they share the backup
		args  string
		files map[string]string // instead of the backup's; "-" for none
		code  int
		want  string
	}{
		"no target":         {args: dir, code: exitUsage, want: "either --config FILE or --data-dir DIR"},
		"two targets":       {args: dir + " --config x --data-dir y", code: exitUsage, want: "either --config FILE or --data-dir DIR"},
		"no configuration":  {args: dir + " --config " + home + "/none.yaml", code: exitUsage, want: "no such file"},
		"no backup":         {args: home + "/none --data-dir " + target, code: exitUsage, want: "not a backup: .*none has no manifest.json"},
		"half a backup":     {args: partial + " --data-dir " + target, code: exitUsage, want: "not a backup: .*half.partial has no manifest.json"},
		"a file":            {args: embedded + " --data-dir " + target, code: exitUsage, want: "not a backup"},
		"other partitions":  {args: dir + " --config " + embedded, code: exitUsage, want: "the backup has 64 partitions, the configuration 8: .* set partitions: 64"},
		"bundles on NATS":   {args: dir + " --config " + nowhere, code: exitUsage, want: "servers of a cluster cannot fence them: restore it with the embedded server"},
		"a flipped bit":     {args: dir + " --data-dir " + target, files: map[string]string{"BATON_LOG.s2": string(flipped)}, code: exitFailure, want: "backup: damaged: BATON_LOG.s2: its hash differs"},
		"cut off":           {args: dir + " --data-dir " + target, files: map[string]string{"BATON_LOG.s2": string(log[:len(log)-1])}, code: exitFailure, want: `BATON_LOG.s2 has \d+ bytes, wanted \d+`},
		"a file is gone":    {args: dir + " --data-dir " + target, files: map[string]string{"BATON_LOG.s2": "-"}, code: exitFailure, want: "backup: damaged: .*BATON_LOG.s2: no such file"},
		"manifest changed":  {args: dir + " --data-dir " + target, files: map[string]string{"manifest.json": strings.Replace(string(manifest), `"partitions": 64`, `"partitions": 65`, 1)}, code: exitFailure, want: "manifest: its hash differs"},
		"manifest no JSON":  {args: dir + " --data-dir " + target, files: map[string]string{"manifest.json": "{"}, code: exitFailure, want: "backup: damaged: manifest"},
		"newer format":      {args: dir + " --data-dir " + target, files: map[string]string{"manifest.json": sealedAs(string(manifest), `"format": 1`, `"format": 2`)}, code: exitUsage, want: "newer format: 2, this Baton reads up to 1: use the version that wrote it"},
		"newer streams":     {args: dir + " --data-dir " + target, files: map[string]string{"manifest.json": sealedAs(string(manifest), `"stream_format": 2`, `"stream_format": 3`)}, code: exitUsage, want: "newer format: of the streams: 3"},
		"a name that leads": {args: dir + " --data-dir " + target, files: map[string]string{"manifest.json": sealedAs(string(manifest), `"file": "BATON_LOG.s2"`, `"file": "../../x"`)}, code: exitFailure, want: `damaged: manifest: stream "BATON_LOG"`},
	} {
		t.Run(name, func(t *testing.T) {
			swapped := map[string][]byte{}
			for file, text := range c.files {
				path := filepath.Join(dir, file)
				if swapped[path], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if text != "-" {
					write(t, dir, file, text)
				}
			}
			before := tree(t, home)
			wantFailure(t, baton(t.Context(), append([]string{"restore"}, strings.Fields(c.args)...)...), c.code, c.want)
			if diff := cmp.Diff(before, tree(t, home)); diff != "" {
				t.Error("it has changed something:\n" + diff)
			}
			for path, data := range swapped {
				write(t, filepath.Dir(path), filepath.Base(path), string(data))
			}
		})
	}

	t.Log("a target in use, or with an earlier life")
	if err := os.MkdirAll(filepath.Join(target, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, baton(t.Context(), "restore", dir, "--data-dir", target), exitUsage, "target holds store")
	if err := os.Remove(filepath.Join(target, "store")); err != nil {
		t.Fatal(err)
	}
	t.Log("what a killed restore left does no harm")
	if err := os.MkdirAll(filepath.Join(target, restoring, "nats", "half"), 0o700); err != nil {
		t.Fatal(err)
	}
	if a := baton(t.Context(), "restore", dir, "--data-dir", target); a.code != exitDone {
		t.Errorf("%+v", a)
	}
	if _, err := os.Stat(filepath.Join(target, restoring)); !os.IsNotExist(err) {
		t.Error(err)
	}
	wantFailure(t, baton(t.Context(), "restore", dir, "--data-dir", target), exitUsage, "target holds nats")
}

// sealedAs is a manifest with something else in it and the hash that fits.
func sealedAs(manifest, was, is string) string {
	var body strings.Builder
	changed := strings.Replace(manifest, was, is, 1)
	_, rest, _ := strings.Cut(changed, `"manifest": `)
	inner, _, _ := strings.Cut(rest, ",\n  \"sha256\"")
	for line := range strings.SplitSeq(inner, "\n") {
		body.WriteString(strings.Replace(strings.TrimSpace(line), `": `, `":`, 1))
	}
	return `{"manifest": ` + inner + `, "sha256": "` + digest(body.String()) + `"}`
}
