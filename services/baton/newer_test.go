package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

// TestALogOfANewerVersionIsNotCalledDamaged: verify and replay name the position
// and the versions, of a running server, a stopped one's data and an export.
func TestALogOfANewerVersionIsNotCalledDamaged(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	file := write(t, t.TempDir(), "baton.yaml", minimal(data, ""))
	server := start(t, "serve", "--config", file)
	awaitReadyz(t, server.prints(`admin=(\S+)`)[1], func(s string) bool { return strings.Contains(s, "4 held here") })
	server.stop()
	newerRecord(t, data)
	server = start(t, "serve", "--config", file)
	admin := server.prints(`admin=(\S+)`)[1]
	awaitReadyz(t, admin, func(s string) bool { return strings.Contains(s, "3 held here") })
	says := func(what string, want ...string) {
		t.Helper()
		a := baton(t.Context(), strings.Fields(what)...)
		for _, part := range append(want, "it needs a reader of version 2, this is 1", "partition 0, position ") {
			if !strings.Contains(a.errors, part) {
				t.Errorf("%s: %+v does not say %q", what, a, part)
			}
		}
		if a.code == exitDone || strings.Contains(a.out+a.errors, "damaged") || strings.Contains(a.out, "BROKEN") {
			t.Errorf("%s: %+v", what, a)
		}
	}
	says("--admin "+admin+" log verify", "use the Baton that wrote it", "record at sequence")
	says("--admin " + admin + " replay")
	server.stop()

	exported := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(exported)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	if _, err := out.WriteString(exportHeader); err != nil {
		t.Fatal(err)
	}
	rec := eventlog.Record{Epoch: 1, Claim: true, Holder: "next", First: 1, DecidedAt: 1, BatonID: [16]byte{1}}
	if err := writeRecord(out, eventlogtest.Newer(&rec)); err != nil {
		t.Fatal(err)
	}
	says("log verify --file "+exported, exported+": record 1", "use the Baton that wrote it")
	says("replay --file "+exported, exported+": record 1", "use the Baton that wrote it")
}
