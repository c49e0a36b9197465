package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestLogCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	// It may begin after the greeting: enough of the past is asked for.
	follow := start(t, "--admin", d.admin, "log", "tail", "-f", "-n", "20", "--page", devPage, "--user", devPerson)
	d.greet()
	follow.prints(stamped + `  38-\d+  ` + devPage + `/` + devPerson + `  assigned  idle → faq-bot`)
	follow.prints(`routed  echo → faq-bot`)
	if code := follow.stop(); code != exitDone || follow.errors.String() != "" {
		t.Errorf("exit code %d, %s", code, follow.errors.String())
	}
	if strings.Contains(follow.out.String(), "where is my order") {
		t.Error("the log shows what people write")
	}
	if out := d.ok("log tail -n 2 --user " + devPerson); len(strings.Split(strings.TrimSpace(out), "\n")) != 2 || !strings.Contains(out, "routed  echo") {
		t.Error(out)
	}
	if out := d.ok("log cat --partition 38"); !regexp.MustCompile(`^` + stamped + `  38-1  `).MatchString(out) {
		t.Error(out)
	}
	if out := d.ok("log cat --partition 38 --from 3"); !regexp.MustCompile(`^` + stamped + `  38-3  `).MatchString(out) {
		t.Error(out)
	}
	line, _, _ := strings.Cut(d.ok("-o json log tail -n 1 --page "+devPage), "\n")
	if e := decodedJSON(t, line); e["kind"] != "routed" || e["partition"] != float64(38) {
		t.Error(e)
	}
	if out := d.ok("log verify"); !regexp.MustCompile(`verified +\d+ events in \d+ records on 64 partitions\nchain +intact\n`).MatchString(out) {
		t.Error(out)
	}
	if m := decodedJSON(t, d.ok("-o json log verify")); m["ok"] != true {
		t.Error(m)
	}
	d.fails(exitUsage, `partition 64: there are 64`, "log tail --partition 64")
	d.fails(exitUsage, `"x" is not a decimal id`, "log cat --user x")
}

func TestReplayIsEqualOnlineAndOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	d.greet()
	d.ok("thread pass " + devThread + " live-agent")
	file := filepath.Join(t.TempDir(), "log")
	if out := d.ok("replay"); !regexp.MustCompile(`replayed +\d+ events, 1 threads\ndigest +([0-9a-f]{64})\nstore +[0-9a-f]{64}\nequal +true`).MatchString(out) {
		t.Error(out)
	}
	if m := decodedJSON(t, d.ok("-o json replay")); m["equal"] != true || m["replayed_digest"] != m["store_digest"] {
		t.Error(m)
	}
	d.fails(exitUsage, `in use|another process`, "log verify --data-dir "+dir)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	a := baton(t.Context(), "log", "verify", "--data-dir", dir)
	if a.code != exitDone || !strings.Contains(a.out, "intact") {
		t.Fatalf("%+v", a)
	}
	offline := baton(t.Context(), "replay", "--data-dir", dir)
	if offline.code != exitDone || !regexp.MustCompile(`equal +true`).MatchString(offline.out) {
		t.Fatalf("%+v", offline)
	}

	t.Log("started again, exported, and folded from the file")
	again := newDesk(t, dir)
	again.ok("log export " + file)
	again.fails(exitUsage, `file exists`, "log export "+file)
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	if a := baton(t.Context(), "log", "verify", "--file", file); a.code != exitDone || !regexp.MustCompile(`on 64 partitions\nchain +intact`).MatchString(a.out) {
		t.Fatalf("%+v", a)
	}
	fromFile, fromStore := baton(t.Context(), "replay", "--file", file), baton(t.Context(), "replay", "--data-dir", dir)
	digestOf := regexp.MustCompile(`digest +([0-9a-f]{64})`)
	if fromFile.code != exitDone || digestOf.FindString(fromFile.out) != digestOf.FindString(fromStore.out) {
		t.Errorf("%+v\n%+v", fromFile, fromStore)
	}
	tampered(t, file)
}

// tampered damages an exported log in many ways; each is found and placed.
func tampered(t *testing.T, file string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(whole) / 2
	flipped := bytes.Clone(whole)
	flipped[middle] ^= 1
	first := len(exportHeader) + 4 + int(whole[len(exportHeader)+3]) + int(whole[len(exportHeader)+2])<<8
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"a flipped bit":      {flipped, `fault +\S+: record \d+ at byte \d+: `},
		"cut off":            {whole[:len(whole)-3], `fault +\S+: record \d+ at byte \d+: truncated record`},
		"a record is absent": {append([]byte(exportHeader), whole[first:]...), `fault +partition \d+`},
		"an absurd length":   {append([]byte(exportHeader), 0xff, 0xff, 0xff, 0xff), `fault +\S+: record 1 at byte 19: record of \d+ bytes`},
	} {
		broken := write(t, t.TempDir(), "broken", string(c.raw))
		a := baton(t.Context(), "log", "verify", "--file", broken)
		if a.code != exitFailure || !strings.Contains(a.out, "BROKEN") || !regexp.MustCompile(c.want).MatchString(a.out) || !strings.Contains(a.errors, "the log is damaged: ") {
			t.Errorf("%s: %+v", name, a)
		}
		if a := baton(t.Context(), "replay", "--file", broken); a.code != exitFailure || !strings.HasPrefix(a.errors, "baton: ") {
			t.Errorf("replay, %s: %+v", name, a)
		}
	}
}
