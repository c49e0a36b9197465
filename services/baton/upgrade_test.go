package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// nextVersion builds this program as its next version: its records have the next
// version, and none before reads them.
func nextVersion(t *testing.T) (program string) {
	t.Helper()
	source, err := filepath.Abs("../../pkg/eventlog/record.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	raised := regexp.MustCompile(`(Version|MinReader)(\s+)= 1\n`).ReplaceAll(text, []byte("${1}${2}= 2\n"))
	if bytes.Equal(raised, text) {
		t.Fatal("record.go does not say its version as it did")
	}
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: write(t, dir, "record.go", string(raised))}})
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "baton")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", write(t, dir, "overlay.json", string(overlay)), "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// newerRecord puts a record of the next version on the log of partition 0 of a
// stopped node.
func newerRecord(t *testing.T, dataDir string) {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: dataDir})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	conn, err := bus.Dial(t.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.EnsureStreams(t.Context(), bus.Config{Partitions: 4, Replicas: 1, LettersAge: 720 * time.Hour, LettersBytes: 256 << 20}); err != nil {
		t.Fatal(err)
	}
	last, err := conn.LastLog(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := eventlog.Decode(last.Data)
	if err != nil {
		t.Fatal(err)
	}
	next := eventlog.Record{
		Epoch: rec.Epoch + 1, Claim: true, Holder: "next", First: rec.Last() + 1, DecidedAt: rec.DecidedAt, RosterVersion: rec.RosterVersion,
		Input: rec.Input, BatonID: rec.BatonID, Prev: rec.Hash,
	}
	if _, err := conn.AppendLog(t.Context(), 0, eventlogtest.Newer(&next), last.Sequence); err != nil {
		t.Fatal(err)
	}
}

// TestUpgradeAndTheWayBack: a record of the next version halts its partition in
// this one, which says so, and the others go on; the next version goes on with
// all of them; after it has written to them this one refuses them all, and the
// next goes on again.
func TestUpgradeAndTheWayBack(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Parallel()
	next := nextVersion(t)
	data := t.TempDir()
	file := write(t, t.TempDir(), "baton.yaml", minimal(data, ""))
	const needs = "it needs a reader of version 2, this is 1"

	old := start(t, "serve", "--config", file)
	awaitReadyz(t, old.prints(`admin=(\S+)`)[1], func(s string) bool { return strings.Contains(s, "4 held here") })
	old.stop()
	newerRecord(t, data)
	old = start(t, "serve", "--config", file)
	awaitReadyz(t, old.prints(`admin=(\S+)`)[1], func(s string) bool {
		return strings.Contains(s, "3 held here") && strings.Contains(s, `"partition 0"`) && strings.Contains(s, needs) && strings.Contains(s, `"degraded"`)
	})
	old.stop()

	for range 2 {
		serveNext(t, next, file)
		old = start(t, "serve", "--config", file)
		awaitReadyz(t, old.prints(`admin=(\S+)`)[1], func(s string) bool { return strings.Count(s, needs) >= 4 && strings.Contains(s, `"not ready"`) })
		old.stop()
	}
}

// serveNext has the next version hold all partitions, and stops it.
func serveNext(t *testing.T, program, file string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), program, "serve", "--config", file)
	var said transcript
	child.Stderr = &said
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	admin := regexp.MustCompile(`admin=(\S+)`)
	await(t, func() bool { return admin.MatchString(said.String()) }, said.String)
	awaitReadyz(t, admin.FindStringSubmatch(said.String())[1], func(s string) bool { return strings.Contains(s, "4 held here") })
	_ = child.Process.Signal(syscall.SIGTERM)
	if err := child.Wait(); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
}

func awaitReadyz(t *testing.T, admin string, holds func(string) bool) {
	t.Helper()
	body := ""
	await(t, func() bool {
		_, body = get(t, http.DefaultClient, admin+"/readyz")
		return holds(body)
	}, func() string { return body })
}
