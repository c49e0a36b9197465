package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

const spoiledPartitions = 3

// inFiles is a closed store in real files, all of it in one table, and the folds
// of its partitions.
func inFiles(t *testing.T) (dir string, folds [spoiledPartitions]*eventlog.Partition, raws [spoiledPartitions][][]byte) {
	t.Helper()
	dir = t.TempDir()
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for p := range spoiledPartitions {
		_, folds[p], raws[p] = filled(t, s, p, 900)
	}
	closeStore(t, s)
	if s, err = store.Open(store.Options{Dir: dir}); err != nil { // writes the table
		t.Fatal(err)
	}
	closeStore(t, s)
	return dir, folds, raws
}

// files are the store's files that match, the largest first.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatal("no", pattern, err)
	}
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	for i := range found {
		if size(found[i]) > size(found[0]) {
			found[0], found[i] = found[i], found[0]
		}
	}
	return found
}

// TestDamageOfOnePartitionIsItsOwn: flipped bytes in a table's block concern the
// partition whose rows it holds; the others read as they were written. Wiped and
// filled again from the stream, the partition is whole, and nothing damaged is
// left in the files.
func TestDamageOfOnePartitionIsItsOwn(t *testing.T) {
	t.Parallel()
	dir, folds, raws := inFiles(t)
	table := files(t, dir, "*.sst")[0]
	flip := func(data []byte) []byte {
		data[len(data)/2] ^= 0x40 // the middle partition of three
		return data
	}
	spoil(t, vfs.Default, table, flip)
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for n := range spoiledPartitions {
		p, err := s.Partition(n)
		if err == nil {
			err = readAll(p)
		}
		if (n == 1) != store.IsDamaged(err) || n != 1 && err != nil {
			t.Fatalf("partition %d: %v", n, err)
		}
	}
	p, _ := s.Partition(1)
	if err := p.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	goOn(t, p, raws[1])
	closeStore(t, s)
	if s, err = store.Open(store.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	for n := range spoiledPartitions {
		p := partition(t, s, n)
		if err := readAll(p); err != nil {
			t.Errorf("partition %d afterwards: %v", n, err)
		}
		compareDigest(t, p, folds[n])
	}
}

// TestAPartitionThatDoesNotKnowWhereItStandsCanBeWiped: its first row is
// damaged. The store opens, and the partition is good for that alone.
func TestAPartitionThatDoesNotKnowWhereItStandsCanBeWiped(t *testing.T) {
	t.Parallel()
	dir, folds, _ := inFiles(t)
	spoil(t, vfs.Default, files(t, dir, "*.sst")[0], func(data []byte) []byte {
		data[100] ^= 0x40
		return data
	})
	s, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	p, err := s.Partition(0)
	if p == nil || !store.IsDamaged(err) || p.Applied() != (store.Applied{}) {
		t.Fatalf("%v %v", p, err)
	}
	if again, err := s.Partition(0); again != p || !store.IsDamaged(err) {
		t.Errorf("asked again: %v", err)
	}
	if err := p.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Partition(0); again != p || err != nil {
		t.Errorf("wiped: %v", err)
	}
	compareDigest(t, partition(t, s, 2), folds[2])
}

// goOn applies what a partition lacks of the stream.
func goOn(t *testing.T, p *store.Partition, raws [][]byte) {
	t.Helper()
	for i, raw := range raws {
		sequence := uint64(10 + 2*i)
		if sequence <= p.Applied().Sequence {
			continue
		}
		r, err := eventlog.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, p, &r, raw, sequence)
	}
}

// TestDamageOfTheWholeStoreSaysSo, or else leaves an earlier store, whole, that
// goes on from the stream: a manifest without its end is an earlier one.
func TestDamageOfTheWholeStoreSaysSo(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, dir string){
		"a table is missing":      func(t *testing.T, dir string) { t.Helper(); remove(t, files(t, dir, "*.sst")[0]) },
		"the manifest is missing": func(t *testing.T, dir string) { t.Helper(); remove(t, files(t, dir, "MANIFEST-*")[0]) },
		"the manifest is cut": func(t *testing.T, dir string) {
			t.Helper()
			spoil(t, vfs.Default, files(t, dir, "MANIFEST-*")[0], half)
		},
		"the manifest is empty": func(t *testing.T, dir string) {
			t.Helper()
			spoil(t, vfs.Default, files(t, dir, "MANIFEST-*")[0], none)
		},
		"a byte of the manifest": func(t *testing.T, dir string) {
			t.Helper()
			spoil(t, vfs.Default, files(t, dir, "MANIFEST-*")[0], flipped)
		},
		"a byte of a table's foot": func(t *testing.T, dir string) { t.Helper(); spoil(t, vfs.Default, files(t, dir, "*.sst")[0], foot) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mayBeEarlier := strings.Contains(name, "manifest")
			dir, folds, raws := inFiles(t)
			damage(t, dir)
			s, err := store.Open(store.Options{Dir: dir})
			if err == nil {
				defer closeStore(t, s)
				var p *store.Partition
				if p, err = s.Partition(0); err == nil {
					err = readAll(p)
				}
				if err == nil && mayBeEarlier {
					goOn(t, p, raws[0])
					compareDigest(t, p, folds[0])
					return
				}
			}
			if !store.IsDamaged(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

func half(data []byte) []byte { return data[:len(data)/2] }
func none([]byte) []byte      { return nil }

func flipped(data []byte) []byte {
	data[len(data)/2] ^= 0x08
	return data
}

func foot(data []byte) []byte {
	data[len(data)-3] ^= 0x08
	return data
}
