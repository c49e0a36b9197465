package bus

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// packed is a bundle with the given parts, sealed behind base.
func packed(base uint64, lasts []uint64, parts ...part) []byte {
	b := beginBundle(nil)
	for _, p := range parts {
		b = appendPart(b, p.partition, p.data)
	}
	return sealBundle(b, base, lasts, [idSize]byte{1, 2, 3})
}

func TestBundleRoundTrip(t *testing.T) {
	t.Parallel()
	lasts := []uint64{0, 1, 299, 300}
	data := packed(300, lasts, part{3, []byte("c")}, part{0, nil}, part{1, bytes.Repeat([]byte("x"), 70_000)})
	b, err := parseBundle(data, 301)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lasts, b.lasts); diff != "" {
		t.Error(diff)
	}
	for p, want := range []struct {
		size   int
		has    bool
		newest uint64
	}{{0, true, 301}, {70_000, true, 301}, {0, false, 299}, {1, true, 301}, {0, false, 0}} {
		if got, has := b.part(p); len(got) != want.size || has != want.has || b.newest(p) != want.newest {
			t.Errorf("partition %d: %d bytes, %t, newest %d; wanted %+v", p, len(got), has, b.newest(p), want)
		}
	}
}

// Whatever byte is turned, cut or added: the bundle is refused as a whole.
func TestDamagedBundleIsRefused(t *testing.T) {
	t.Parallel()
	good := packed(9, []uint64{4, 0, 9}, part{0, []byte("record of 0")}, part{2, []byte("record of 2")})
	refuse := func(what string, data []byte) {
		t.Helper()
		if b, err := parseBundle(data, 10); !errors.Is(err, ErrDamaged) || b != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		refuse("a turned bit", bad)
		refuse("a torn bundle", good[:i])
	}
	refuse("a longer bundle", append(bytes.Clone(good), 0))
	refuse("a partition twice", packed(9, []uint64{4, 0, 9}, part{0, nil}, part{0, nil}))
	refuse("a partition too many", packed(9, []uint64{4, 0, 9}, part{3, nil}))
	refuse("no part", packed(9, []uint64{4, 0, 9}))
	if _, err := parseBundle(good, 11); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "sequence 10") {
		t.Errorf("in another's place: %v", err)
	}
	if _, err := parseBundle(good, 10); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add(packed(9, []uint64{4, 0, 9}, part{0, []byte("a")}, part{2, []byte("b")}), true)
	f.Add(packed(0, []uint64{0}, part{0, nil}), false)
	f.Add([]byte{bundleVersion}, true)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		if n := len(data) - sumSize; mend && n > 0 { // past the checksum
			data = appendSum(bytes.Clone(data[:n]))
		}
		b, why := decodeBundle(data)
		if why != "" {
			return
		}
		again, why := decodeBundle(sealBundle(rebuild(b), b.base, b.lasts, b.id))
		if why != "" {
			t.Fatal(why)
		}
		if diff := cmp.Diff(b, again, cmp.AllowUnexported(bundle{}, part{})); diff != "" {
			t.Error(diff)
		}
		for p := range b.lasts {
			if b.newest(p) > b.base+1 || b.last(p) > b.base {
				t.Errorf("partition %d: last %d, newest %d, base %d", p, b.last(p), b.newest(p), b.base)
			}
		}
	})
}

func rebuild(b *bundle) []byte {
	out := beginBundle(nil)
	for _, p := range b.parts {
		out = appendPart(out, p.partition, p.data)
	}
	return out
}

func BenchmarkSealBundle(b *testing.B) {
	lasts := make([]uint64, 64)
	for i := range lasts {
		lasts[i] = 1_000_000 - rand.Uint64N(200)
	}
	record := make([]byte, 400)
	var buf []byte
	for b.Loop() {
		buf = beginBundle(buf[:0])
		for p := range 30 {
			buf = appendPart(buf, p, record)
		}
		buf = sealBundle(buf, 1_000_000, lasts, [idSize]byte{})
	}
	b.SetBytes(int64(len(buf)))
	b.ReportMetric(float64(len(buf)-30*402), "overhead-B")
}
