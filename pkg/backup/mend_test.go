package backup_test

import (
	"bytes"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/eventlog"
)

// opened is a server on a directory until close.
func opened(t *testing.T, dir string, sole bool) (c *bus.Conn, stop func()) {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Dir: dir})
	must(t, err)
	c, err = bus.Dial(t.Context(), bus.Options{InProcess: s, User: s.User(), Password: s.Password(), Sole: sole})
	must(t, err)
	return c, func() { c.Close(); s.Stop() }
}

// kept is a log with a chain for each partition, and what a store would have of it.
func kept(t *testing.T, dir string, sole bool) (logs [partitions][]backup.Record) {
	t.Helper()
	c, stop := opened(t, dir, sole)
	defer stop()
	id, err := c.EnsureStreams(t.Context(), config())
	must(t, err)
	var heads [partitions]eventlog.Head
	for n := range uint64(8) {
		var all sync.WaitGroup // at once, so that bundles have parts
		for p := range partitions {
			rec := eventlog.Record{
				Partition: uint32(p), Epoch: n + 1, Claim: true, Holder: "holder", First: heads[p].Position + 1, BatonID: id.BatonID,
				Prev: heads[p].Hash, DecidedAt: 1_700_000_000_000,
			}
			raw, last := eventlog.Encode(&rec), uint64(0)
			if heads[p], err = heads[p].Next(&rec); err != nil {
				t.Fatal(err)
			}
			if n > 0 {
				last = logs[p][n-1].Sequence
			}
			all.Go(func() {
				sequence, err := c.AppendLog(t.Context(), p, raw, last)
				if err != nil {
					t.Error(err)
				}
				logs[p] = append(logs[p], backup.Record{Partition: p, Sequence: sequence, Raw: raw})
			})
		}
		all.Wait()
	}
	return logs
}

// spoil flips a bit of what the server has on its disk.
func spoil(t *testing.T, dir string, of []byte) {
	t.Helper()
	found := false
	must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".blk" {
			return err
		}
		data, err := os.ReadFile(path)
		if at := bytes.Index(data, of); err == nil && at >= 0 {
			data[at+len(of)/2] ^= 4
			found, err = true, os.WriteFile(path, data, 0o600)
		}
		return err
	}))
	if !found {
		t.Fatal("the record is nowhere")
	}
}

func yielded(logs [partitions][]backup.Record) (all []iter.Seq2[backup.Record, error]) {
	for _, log := range logs {
		all = append(all, func(yield func(backup.Record, error) bool) {
			for _, r := range log {
				if !yield(r, nil) {
					return
				}
			}
		})
	}
	return all
}

// read is the log of a server by partition.
func read(t *testing.T, c *bus.Conn) (logs [partitions][]backup.Record) {
	t.Helper()
	must(t, c.EachLog(t.Context(), func(m bus.Message) error {
		logs[m.Partition] = append(logs[m.Partition], backup.Record{Partition: m.Partition, Sequence: m.Sequence, Raw: bytes.Clone(m.Data)})
		return nil
	}))
	return logs
}

// takeInto writes a backup, or says why there is none.
func takeInto(t *testing.T, from backup.Source) (string, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	d, err := backup.NewDirectory(dir)
	must(t, err)
	m, err := backup.Take(t.Context(), from, "1", d.Create)
	if err == nil {
		err = d.Commit(&m)
	}
	must(t, d.Abandon())
	return dir, err
}

// A disk has spoilt records of the log. The server passes over them; with the
// store's copies the backup has them again, in their places, and once it is
// restored the log is what it was and goes on.
func TestADamagedLogIsMendedOutOfTheStore(t *testing.T) {
	t.Parallel()
	for name, sole := range map[string]bool{"bundled": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			logs := kept(t, dir, sole)
			spoil(t, dir, logs[1][2].Raw)
			spoil(t, dir, logs[2][5].Raw)
			from, stop := opened(t, dir, sole)
			defer stop()
			if cmp.Equal(read(t, from), logs) {
				t.Fatal("the server gives everything")
			}
			if _, err := takeInto(t, from); sole != errors.Is(err, backup.ErrNotMended) {
				t.Errorf("without the store: %v", err)
			}
			source := &backup.Mended{Source: from, Kept: yielded(logs)}
			taken, err := takeInto(t, source)
			must(t, err)
			if source.Messages == 0 || source.Messages > 2 {
				t.Errorf("%d messages were put in", source.Messages)
			}
			b, err := backup.Open(t.Context(), taken)
			must(t, err)
			to := server(t, t.TempDir(), sole)
			must(t, b.Restore(t.Context(), to, b.Config(), true))
			must(t, second(to.EnsureStreams(t.Context(), config())))
			if diff := cmp.Diff(logs, read(t, to)); diff != "" {
				t.Error(diff)
			}
			for p, log := range logs {
				for i := range log[1:] {
					m, err := to.NextLog(t.Context(), p, log[i].Sequence)
					if err != nil || m.Sequence != log[i+1].Sequence || !bytes.Equal(m.Data, log[i+1].Raw) {
						t.Errorf("behind %d of partition %d: %d, %v", log[i].Sequence, p, m.Sequence, err)
					}
				}
			}
			must(t, second(to.AppendLog(t.Context(), 1, []byte("next"), logs[1][7].Sequence)))
		})
	}
}

// A log that needs nothing is copied as it is.
func TestAWholeLogNeedsNoMending(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logs := kept(t, dir, true)
	c, stop := opened(t, dir, true)
	defer stop()
	source := &backup.Mended{Source: c, Kept: yielded(logs)}
	plain, err := takeInto(t, c)
	must(t, err)
	mended, err := takeInto(t, source)
	must(t, err)
	a, errA := os.ReadFile(filepath.Join(plain, "BATON_LOG.s2"))
	b, errB := os.ReadFile(filepath.Join(mended, "BATON_LOG.s2"))
	if errA != nil || errB != nil || !bytes.Equal(a, b) || source.Messages != 0 {
		t.Errorf("%v %v, %d put in", errA, errB, source.Messages)
	}
}

// What cannot be proven to be whole is no backup.
func TestALogThatCannotBeMended(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sole   bool
		spoil  int // which record of partition 1
		store  func(*[partitions][]backup.Record)
		reason string
	}{
		"the store lacks it": {true, 2, func(logs *[partitions][]backup.Record) {
			logs[1] = slices.Delete(logs[1], 2, 3)
		}, "had a record at sequence"},
		"a plain record that the store lacks": {false, 2, func(logs *[partitions][]backup.Record) {
			logs[1] = slices.Delete(logs[1], 2, 3)
		}, "chain is broken"},
		"the newest, and the store is behind": {false, 7, func(logs *[partitions][]backup.Record) {
			logs[1] = logs[1][:7]
		}, "cannot give 1 messages, and the store has 0"},
		"the store has another history": {true, 2, func(logs *[partitions][]backup.Record) {
			logs[0][4].Raw = logs[0][5].Raw
		}, "the store has another record"},
		"the store cannot be read": {true, 2, func(logs *[partitions][]backup.Record) {
			logs[1][2].Raw = []byte("junk")
		}, "cannot be mended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			logs := kept(t, dir, c.sole)
			spoil(t, dir, logs[1][c.spoil].Raw)
			from, stop := opened(t, dir, c.sole)
			defer stop()
			c.store(&logs)
			if _, err := takeInto(t, &backup.Mended{Source: from, Kept: yielded(logs)}); !errors.Is(err, backup.ErrNotMended) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%v, wanted %q", err, c.reason)
			}
		})
	}
}

// The newest bundle is the one that nothing behind it speaks for.
func TestTheNewestBundleIsNotProven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logs := kept(t, dir, true)
	newest := logs[0][7]
	for _, log := range logs {
		if log[7].Sequence > newest.Sequence {
			newest = log[7]
		}
	}
	spoil(t, dir, newest.Raw)
	from, stop := opened(t, dir, true)
	defer stop()
	for accepted, mends := range map[uint64]bool{0: false, newest.Sequence - 1: false, newest.Sequence: true} {
		taken, err := takeInto(t, &backup.Mended{Source: from, Kept: yielded(logs), AcceptLoss: accepted})
		if !mends && (!errors.Is(err, backup.ErrNotMended) || !strings.Contains(err.Error(), "newest message")) || mends && err != nil {
			t.Errorf("%d accepted: %v", accepted, err)
		}
		if !mends {
			continue
		}
		b, err := backup.Open(t.Context(), taken)
		must(t, err)
		to := server(t, t.TempDir(), true)
		must(t, b.Restore(t.Context(), to, b.Config(), true))
		must(t, second(to.EnsureStreams(t.Context(), config())))
		if diff := cmp.Diff(logs, read(t, to)); diff != "" {
			t.Error(diff)
		}
	}
}
