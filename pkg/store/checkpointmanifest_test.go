package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/store"
)

func someManifest() store.Manifest {
	return store.Manifest{
		Format: 1, Layout: 1, Engine: 2, Origin: ours, MadeAt: 1700000000000,
		Heads: []store.PartitionHead{{Partition: 1, Sequence: 1 << 63, Position: 7, Epoch: 3, Hash: store.Sum{9}}, {Partition: 3, Sequence: 5}},
		Files: []store.File{{Name: "000001.sst", Bytes: 12, SHA256: store.Sum{8}}, {Name: "MANIFEST-000002"}},
	}
}

// resum writes a manifest's text with a sum that fits.
func resum(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return []byte(text + "sha256 " + hex.EncodeToString(sum[:]) + "\n")
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	m := someManifest()
	got, err := store.ParseManifest(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryByteOfAManifestCounts(t *testing.T) {
	t.Parallel()
	m := someManifest()
	raw := m.Encode()
	for i := range raw {
		flipped := bytes.Clone(raw)
		flipped[i] ^= 1
		if _, err := store.ParseManifest(flipped); !errors.Is(err, store.ErrMismatch) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := store.ParseManifest(raw[:i]); !errors.Is(err, store.ErrMismatch) {
			t.Fatalf("cut at byte %d: %v", i, err)
		}
	}
}

func TestManifestsThatCannotBe(t *testing.T) {
	t.Parallel()
	valid := someManifest()
	text, _, _ := strings.Cut(string(valid.Encode()), "sha256 ")
	for name, test := range map[string]struct {
		old, replacement string
		want             error
	}{
		"newer format":       {`"format": 1`, `"format": 2`, store.ErrNewerFormat},
		"newer layout":       {`"layout": 1`, `"layout": 5`, store.ErrNewerFormat},
		"newer engine":       {`"engine": 2`, `"engine": 2000`, store.ErrNewerFormat},
		"a newer field":      {`"format": 1`, `"format": 2, "new": true`, store.ErrNewerFormat},
		"no format":          {`"format": 1`, `"format": 0`, store.ErrMismatch},
		"an unknown field":   {`"format": 1`, `"format": 1, "x": 1`, store.ErrMismatch},
		"no partitions":      {`"partitions": 4`, `"partitions": 0`, store.ErrMismatch},
		"too few partitions": {`"partitions": 4`, `"partitions": 3`, store.ErrMismatch},
		"heads twice":        {`"partition": 3`, `"partition": 1`, store.ErrMismatch},
		"no sequence":        {`"sequence": 5`, `"sequence": 0`, store.ErrMismatch},
		"a short id":         {`"baton_id": "ba`, `"baton_id": "`, store.ErrMismatch},
		"a path":             {"000001.sst", "../1.sst", store.ErrMismatch},
		"a hidden file":      {"000001.sst", ".1", store.ErrMismatch},
		"its own name":       {"000001.sst", "checkpoint.json", store.ErrMismatch},
		"out of order":       {"000001.sst", "Z", store.ErrMismatch},
		"negative bytes":     {`"bytes": 12`, `"bytes": -1`, store.ErrMismatch},
		"not JSON":           {"{", "", store.ErrMismatch},
	} {
		changed := strings.Replace(text, test.old, test.replacement, 1)
		if changed == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := store.ParseManifest(resum(changed)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManifestsOfOthers(t *testing.T) {
	t.Parallel()
	m := someManifest()
	if err := m.BelongsTo(ours); err != nil {
		t.Error(err)
	}
	for _, other := range []store.Origin{{BatonID: ours.BatonID, Partitions: 8}, {BatonID: store.InstallationID{4}, Partitions: 4}} {
		if err := m.BelongsTo(other); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	m := someManifest()
	raw := m.Encode()
	text, _, _ := strings.Cut(string(raw), "sha256 ")
	f.Add(raw, false)
	f.Add([]byte(text), true)
	f.Add([]byte("{}\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, summed bool) {
		if summed {
			data = resum(string(data))
		}
		m, err := store.ParseManifest(data)
		if err != nil {
			return
		}
		again, err := store.ParseManifest(m.Encode())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Error(diff)
		}
	})
}
