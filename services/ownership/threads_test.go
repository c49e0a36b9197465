package ownership

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
)

// A holder keeps every thread of its partition in memory, so what one takes is
// part of the design; ARCHITECTURE.md names the figure.
func TestThreadTakes80BytesAndNoPointer(t *testing.T) {
	t.Parallel()
	if got := unsafe.Sizeof(row{}); got != 80 {
		t.Errorf("a row takes %d bytes", got)
	}
	for f := range reflect.TypeFor[row]().Fields() {
		if f.Name != "key" && f.Type.Kind() > reflect.Float64 {
			t.Errorf("%s: the garbage collector has to look into a %s", f.Name, f.Type)
		}
	}
}

// TestRowKeepsEveryField sets each field of a state alone, also one that is
// added some day.
func TestRowKeepsEveryField(t *testing.T) {
	t.Parallel()
	all := newThreads()
	for i := range reflect.TypeFor[control.State]().NumField() {
		s := slot{armed: control.Millis(i)}
		field := reflect.ValueOf(&s.state).Elem().Field(i)
		switch {
		case field.CanInt():
			field.SetInt(int64(i + 1))
		case field.CanUint():
			field.SetUint(uint64(i + 1))
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		default:
			field.Set(reflect.ValueOf(&control.Rare{}))
		}
		key := control.ThreadKey{Asset: 1, Person: uint64(i)}
		all.put(key, s)
		if got, ok := all.get(key); !ok || got != s {
			t.Errorf("%s: %+v became %+v", reflect.TypeFor[control.State]().Field(i).Name, s, got)
		}
	}
}

// TestThreadsAreAMap compares with Go's own, in the order in which the threads
// came.
func TestThreadsAreAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all, want, order := newThreads(), map[control.ThreadKey]slot{}, []control.ThreadKey(nil)
		rows := map[control.ThreadKey]uint32{} // as they were found; 0 before a thread came
		for range rapid.IntRange(1, 2000).Draw(t, "puts") {
			key := control.ThreadKey{Asset: rapid.Uint64Range(1, 3).Draw(t, "asset"), Person: rapid.Uint64Range(0, 700).Draw(t, "person")}
			if _, known := want[key]; !known {
				order = append(order, key)
			}
			s := slot{armed: control.Millis(rapid.Int64().Draw(t, "armed"))}
			s.state.Revision = rapid.Uint32().Draw(t, "revision")
			s.state.Owner = control.AppID(rapid.Uint64Range(0, 2).Draw(t, "owner"))
			if rapid.IntRange(0, 9).Draw(t, "rare") == 0 {
				s.state.Rare = &control.Rare{}
			}
			if row, asked := rows[key]; asked && rapid.Bool().Draw(t, "by row") {
				if before := all.putAt(row, key, s); before != want[key].state.Owner {
					t.Fatalf("%+v belonged to %d, and to %d", key, want[key].state.Owner, before)
				}
			} else {
				all.put(key, s)
			}
			want[key] = s
			if rapid.IntRange(0, 3).Draw(t, "look") == 0 {
				other := control.ThreadKey{Asset: key.Asset, Person: rapid.Uint64Range(0, 700).Draw(t, "other")}
				rows[other] = all.find(other)
			}
		}
		var came []control.ThreadKey
		for key, s := range all.all() {
			came = append(came, key)
			if row := rows[key]; row != 0 && all.at(row) != s {
				t.Fatalf("%+v: row %d has %+v, want %+v", key, row, all.at(row), s)
			}
			if got, ok := all.get(key); !ok || got != s || s != want[key] {
				t.Fatalf("%+v: %+v and %+v, want %+v", key, s, got, want[key])
			}
		}
		if !cmp.Equal(came, order) || all.len() != len(want) {
			t.Fatalf("%d threads, want %d:\n%s", all.len(), len(want), cmp.Diff(order, came))
		}
		if got, ok := all.get(control.ThreadKey{Asset: 9}); ok {
			t.Fatalf("a thread that never came: %+v", got)
		}
	})
}

func BenchmarkThreads(b *testing.B) {
	for _, n := range []int{15_000, 150_000} {
		b.Run(fmt.Sprintf("threads=%d", n), func(b *testing.B) {
			all := newThreads()
			for i := range n {
				all.put(control.ThreadKey{Asset: 1, Person: uint64(i)}, slot{armed: 1})
			}
			i := uint64(0)
			for b.Loop() {
				i = (i + 7919) % uint64(n)
				s, _ := all.get(control.ThreadKey{Asset: 1, Person: i})
				all.put(control.ThreadKey{Asset: 1, Person: i}, s)
			}
			b.ReportMetric(float64(all.pages.bytes())/float64(n), "B/thread")
		})
	}
}
