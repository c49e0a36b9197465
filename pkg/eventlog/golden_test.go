package eventlog_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

const golden = "testdata/version1.txt"

// TestVersion1IsReadForEver decodes records that were written when version 1 was
// new: one per type of event, each with what it said. A line may be added, for
// a new type; none may ever change.
func TestVersion1IsReadForEver(t *testing.T) {
	t.Parallel()
	if *rewrite {
		writeGolden(t)
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(file)), "\n")
	if len(lines) < len(eventlogtest.Kinds()) {
		t.Errorf("%d lines for %d types of events", len(lines), len(eventlogtest.Kinds()))
	}
	for i, line := range lines {
		encoded, said, _ := strings.Cut(line, "\t")
		raw, err := hex.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		r, err := eventlog.Decode(raw)
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if got := say(&r); got != said {
			t.Errorf("line %d says\n%s\nand said\n%s", i+1, got, said)
		}
		if !bytes.Equal(eventlog.Encode(&r), raw) {
			t.Errorf("line %d: encoded again, it has other bytes", i+1)
		}
	}
}

// say writes down what a record and its only event say. Fields that are zero are
// left out: a field that is added later does not change what was said.
func say(r *eventlog.Record) string {
	e := r.Entries[0]
	var out strings.Builder
	fmt.Fprintf(&out, "%d %d %d %d %d %d %d/%d %T", r.Partition, r.Epoch, r.First, r.DecidedAt, r.RosterVersion, r.Input,
		e.Thread.Asset, e.Thread.Person, e.Event)
	sayFields(&out, "", reflect.ValueOf(e.Event))
	return out.String()
}

func sayFields(out *strings.Builder, path string, v reflect.Value) {
	switch {
	case v.IsZero():
	case v.Kind() == reflect.Pointer:
		sayFields(out, path, v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			sayFields(out, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case v.Kind() == reflect.String:
		fmt.Fprintf(out, " %s=%q", path, v)
	default:
		fmt.Fprintf(out, " %s=%v", path, v)
	}
}

func writeGolden(t *testing.T) {
	t.Helper()
	c := rand.New(rand.NewPCG(2026, 11))
	var out strings.Builder
	for i, kind := range eventlogtest.Kinds() {
		r := eventlog.Record{
			Partition: 5, Epoch: 2, First: control.Position(100 + i), DecidedAt: 1_790_000_000_000, RosterVersion: 3, Input: 44,
			Entries: []eventlog.Entry{{
				Thread: control.ThreadKey{Asset: 100200300400500, Person: 7000}, Cause: [16]byte{1}, Trace: [16]byte{2},
				Event: eventlogtest.FilledEvent(c, kind),
			}},
		}
		fmt.Fprintf(&out, "%x\t", eventlog.Encode(&r))
		fmt.Fprintf(&out, "%s\n", say(&r))
	}
	if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSizeOfIsAnUpperBound(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(3, 3))
	for range 3000 {
		e := eventlog.Entry{
			Thread: control.ThreadKey{Asset: c.Uint64(), Person: c.Uint64()}, Cause: [16]byte{1}, Trace: [16]byte{1},
			Event: eventlogtest.AnyEvent(c),
		}
		r := eventlog.Record{
			Partition: ^uint32(0), Epoch: ^uint64(0), Group: [16]byte{1}, Claim: true, Holder: "holder", First: ^control.Position(0),
			DecidedAt: -1, RosterVersion: ^uint64(0), Input: ^uint64(0), BatonID: [16]byte{1}, Prev: [32]byte{1},
		}
		head := len(eventlog.Encode(&r))
		if bound := eventlog.HeadSize(&r); head > bound {
			t.Fatalf("head: %d bytes, bound %d", head, bound)
		}
		r.Entries = []eventlog.Entry{e}
		if size, bound := len(eventlog.Encode(&r))-head, eventlog.SizeOf(&e); size > bound {
			t.Fatalf("%T: %d bytes, bound %d: %+v", e.Event, size, bound, e)
		}
	}
}
