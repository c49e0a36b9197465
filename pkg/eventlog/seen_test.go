package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
)

// TestSeenKeysAreAMap: the list remembers what a map would, whatever comes
// again and whenever it is swept.
func TestSeenKeysAreAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var keys seenKeys
		model := map[[16]byte]control.Millis{}
		now := control.Millis(rapid.IntRange(1, 1000).Draw(t, "begin"))
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			now += control.Millis(rapid.SampledFrom([]int64{0, 1, int64(control.Hour), int64(DedupeFor) - 1, int64(DedupeFor)}).Draw(t, "later"))
			key := [16]byte{0: byte(rapid.IntRange(0, 2).Draw(t, "first")), 15: byte(rapid.IntRange(0, 3).Draw(t, "last"))}
			keys, model[key] = append(keys, seenKey{key, now}), now
			if rapid.Bool().Draw(t, "sweep") {
				keys = keys.rememberedAt(now)
				maps.DeleteFunc(model, func(_ [16]byte, at control.Millis) bool { return now-at >= DedupeFor })
			}
			compareSeen(t, keys, model, now)
		}
	})
}

func compareSeen(t *rapid.T, keys seenKeys, model map[[16]byte]control.Millis, now control.Millis) {
	got := map[[16]byte]control.Millis{}
	sorted := keys.byKey(now)
	for _, k := range sorted {
		got[k.key] = k.at
	}
	want := maps.Clone(model)
	maps.DeleteFunc(want, func(_ [16]byte, at control.Millis) bool { return now-at >= DedupeFor })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-map +list:\n%s", diff)
	}
	if len(sorted) != len(got) || !slices.IsSortedFunc(sorted, func(a, b seenKey) int { return bytes.Compare(a.key[:], b.key[:]) }) {
		t.Fatalf("not sorted, or a key twice: %v", sorted)
	}
	for first := range byte(3) {
		for last := range byte(4) {
			key := [16]byte{0: first, 15: last}
			at, ok := keys.find(key, now)
			if wantAt, has := want[key]; ok != has || at != wantAt {
				t.Fatalf("key %x: %d %v, the map has %d %v", key, at, ok, wantAt, has)
			}
		}
	}
}

// TestDigestIsOverTheRows: the digest is that of the rows one after the other,
// however many are hashed at once.
func TestDigestIsOverTheRows(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{0, 1, 100, 1000} {
		d, plain := NewDigester(), sha256.New()
		for n := range rows {
			value := bytes.Repeat([]byte{byte(n)}, n)
			d.Answer([16]byte{byte(n)}, value)
			plain.Write(append([]byte{'A', byte(n)}, make([]byte, 15)...))
			plain.Write(append(binary.BigEndian.AppendUint32(nil, uint32(n)), value...))
		}
		if got := d.Sum(); !bytes.Equal(got[:], plain.Sum(nil)) {
			t.Errorf("%d rows: digest %x, want %x", rows, got, plain.Sum(nil))
		}
	}
}
