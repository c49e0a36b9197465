package bus_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// sole returns the only writer of a fresh server.
func sole(t *testing.T) (*embedded.Server, *bus.Conn) {
	t.Helper()
	s := start(t, false)
	c := dialSole(t, s)
	ensure(t, c, config())
	return s, c
}

// Partitions that write at the same time share messages, and each keeps its own
// order and fence.
func TestPartitionsShareBundles(t *testing.T) {
	t.Parallel()
	_, c := sole(t)
	const each = 200
	var wg sync.WaitGroup
	for p := range 4 {
		wg.Go(func() {
			for i, last := 0, uint64(0); i < each; i++ {
				seq, err := c.AppendLog(t.Context(), p, fmt.Appendf(nil, "%d/%d", p, i), last)
				if err != nil || seq <= last {
					t.Errorf("partition %d, record %d: sequence %d after %d: %v", p, i, seq, last, err)
					return
				}
				last = seq
				if _, err := c.AppendLog(t.Context(), p, []byte("zombie"), last-1); !errors.Is(err, bus.ErrWrongSequence) {
					t.Errorf("partition %d behind %d: %v, wanted ErrWrongSequence", p, last-1, err)
				}
			}
		})
	}
	wg.Wait()
	if got := messages(t, c, bus.StreamLog); got >= 4*each {
		t.Errorf("%d messages for %d records: nothing is shared", got, 4*each)
	}
	next, done := [4]int{}, errors.New("enough")
	err := c.ReadLog(brief(t), bus.ReadOptions{}, func(m bus.Message) error {
		if want := fmt.Sprintf("%d/%d", m.Partition, next[m.Partition]); string(m.Data) != want {
			t.Errorf("read %q, wanted %q", m.Data, want)
		}
		next[m.Partition]++
		if next == [4]int{each, each, each, each} {
			return done
		}
		return nil
	})
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
}

// model is what the log must hold, by partition.
type model [4][]uint64

func (m *model) next(p int, after uint64) uint64 {
	for _, seq := range m[p] {
		if seq > after {
			return seq
		}
	}
	return 0
}

// A stream that began with plain messages and went on with bundles is read as
// one, by the writer, by its successor and by a connection that only reads.
func TestBothShapesInOneStream(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	plain := dial(t, s)
	ensure(t, plain, config())
	var want model
	random := rand.New(rand.NewPCG(1, 2))
	write := func(c *bus.Conn, n int) {
		for range n {
			p := random.IntN(3) // nothing is ever written to partition 3
			if random.IntN(8) != 0 {
				p = random.IntN(2)
			}
			var last uint64
			if n := len(want[p]); n > 0 {
				last = want[p][n-1]
			}
			seq := must[uint64](t)(c.AppendLog(t.Context(), p, fmt.Appendf(nil, "%d/%d", p, last), last))
			want[p] = append(want[p], seq)
		}
	}
	write(plain, 40)
	writer := dialSole(t, s)
	ensure(t, writer, config())
	write(writer, 40)
	writer.Close()
	successor := dialSole(t, s)
	ensure(t, successor, config())
	write(successor, 60)
	for name, c := range map[string]*bus.Conn{"successor": successor, "reader": dial(t, s)} {
		checkModel(t, name, c, &want)
	}
	if _, err := plain.EnsureStreams(t.Context(), config()); !errors.Is(err, bus.ErrBundled) {
		t.Errorf("a plain writer behind bundles: %v, wanted ErrBundled", err)
	}
}

func checkModel(t *testing.T, name string, c *bus.Conn, want *model) {
	t.Helper()
	ctx := brief(t)
	for p := range 4 {
		for after := range uint64(142) {
			m, err := c.NextLog(ctx, p, after)
			if seq := want.next(p, after); m.Sequence != seq || (seq == 0) != errors.Is(err, bus.ErrNoMessage) {
				t.Fatalf("%s: partition %d after %d: %d, %v; wanted %d", name, p, after, m.Sequence, err, seq)
			}
		}
		if n := len(want[p]); n > 0 {
			if m := must[bus.Message](t)(c.LastLog(ctx, p)); m.Sequence != want[p][n-1] || m.Partition != p {
				t.Errorf("%s: last of partition %d: %d, wanted %d", name, p, m.Sequence, want[p][n-1])
			}
		}
	}
	for _, partitions := range [][]int{nil, {2}, {0, 2}} {
		var got, all model
		left := 0
		for p := range all {
			if partitions == nil || p == 2 || p == 0 && len(partitions) == 2 {
				all[p] = want[p]
				left += len(all[p])
			}
		}
		done := errors.New("enough")
		err := c.ReadLog(ctx, bus.ReadOptions{Partitions: partitions}, func(m bus.Message) error {
			got[m.Partition] = append(got[m.Partition], m.Sequence)
			if left--; left == 0 {
				return done
			}
			return nil
		})
		if diff := cmp.Diff(all, got); diff != "" || !errors.Is(err, done) {
			t.Errorf("%s: read %v: %v\n%s", name, partitions, err, diff)
		}
	}
}

// The answer is lost while the bundle has landed: nobody is answered until the
// repeat and the message in its place tell; then everybody is, once.
func TestUnknownOutcomeOfABundleIsClosed(t *testing.T) {
	t.Parallel()
	w := &wire{server: start(t, false)}
	good, c := dial(t, w.server), dialSole(t, w)
	ensure(t, c, config())
	first := must[uint64](t)(c.AppendLog(brief(t), 0, []byte("a"), 0))
	w.mute.Store(true)
	type outcome struct {
		seq uint64
		err error
	}
	record, input := make(chan outcome, 1), make(chan outcome, 1)
	go func() {
		seq, err := c.AppendLog(t.Context(), 0, []byte("b"), first)
		record <- outcome{seq, err}
	}()
	go func() {
		seq, err := c.PublishInbound(t.Context(), 1, []byte("webhook"))
		input <- outcome{seq, err}
	}()
	landed(t, good, first)
	// A caller that gives up may repeat its record: it joins the same bundle.
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.AppendLog(short, 0, []byte("b"), first); !errors.Is(err, bus.ErrOutcomeUnknown) {
		t.Errorf("the same record again: %v, wanted ErrOutcomeUnknown", err)
	}
	if _, err := c.AppendLog(t.Context(), 0, []byte("other"), first); !errors.Is(err, bus.ErrInFlight) {
		t.Errorf("another record: %v, wanted ErrInFlight", err)
	}
	select {
	case o := <-record:
		t.Fatalf("answered %+v while the outcome was unknown", o)
	default:
	}
	w.mute.Store(false)
	if o := <-record; o.err != nil || o.seq != first+1 {
		t.Errorf("record: %+v, wanted sequence %d", o, first+1)
	}
	if o := <-input; o.err != nil || o.seq != 1 {
		t.Errorf("webhook: %+v, wanted sequence 1", o)
	}
	if n, in := messages(t, good, bus.StreamLog), messages(t, good, bus.StreamInbound); n != 2 || in != 1 {
		t.Errorf("%d records and %d webhooks stored, wanted 2 and 1", n, in)
	}
	must[uint64](t)(c.AppendLog(brief(t), 0, []byte("c"), first+1))
}

// landed waits until the log holds a record of partition 0 behind a sequence.
func landed(t *testing.T, c *bus.Conn, after uint64) {
	t.Helper()
	for ctx := brief(t); ; {
		if _, err := c.NextLog(ctx, 0, after); err == nil {
			return
		} else if !errors.Is(err, bus.ErrNoMessage) {
			t.Fatal(err)
		}
	}
}

// Somebody else writes although nobody may: the partition that moved on is
// refused, those that share its bundle are stored.
func TestForeignWriterFencesItsPartitionAlone(t *testing.T) {
	t.Parallel()
	w := &wire{server: start(t, false)}
	plain, c := dial(t, w.server), dialSole(t, w)
	ensure(t, plain, config())
	ensure(t, c, config())
	first := must[uint64](t)(c.AppendLog(brief(t), 0, []byte("a"), 0))
	w.mute.Store(true)
	errs := make([]error, 4)
	var wg sync.WaitGroup
	wg.Go(func() { _, errs[3] = c.AppendLog(t.Context(), 3, []byte("b"), 0) })
	for messages(t, plain, bus.StreamLog) < 2 { // until it has landed, unheard
	}
	for p, expected := range []uint64{first, 0, 0} {
		wg.Go(func() { _, errs[p] = c.AppendLog(t.Context(), p, []byte("b"), expected) })
	}
	for c.Gathered() < 3 { // until they share a bundle
	}
	foreign := must[uint64](t)(plain.AppendLog(brief(t), 1, []byte("foreign"), 0))
	w.mute.Store(false)
	wg.Wait()
	if errs[0] != nil || !errors.Is(errs[1], bus.ErrWrongSequence) || errs[2] != nil || errs[3] != nil {
		t.Errorf("outcomes %v, wanted only partition 1 refused", errs)
	}
	if n := messages(t, plain, bus.StreamLog); n != 4 {
		t.Errorf("%d messages, wanted 4: the record, the unheard one, the foreign one and the bundle", n)
	}
	must[uint64](t)(c.AppendLog(brief(t), 1, []byte("after it"), foreign))
}

// A refusal that is known to have stored nothing is told to all of the bundle,
// and the next one goes on.
func TestFullStreamRefusesTheBundle(t *testing.T) {
	t.Parallel()
	c := dialSole(t, start(t, false))
	cfg := config()
	cfg.InboundBytes = 10_000
	ensure(t, c, cfg)
	stored := uint64(0)
	for {
		seq, err := c.PublishInbound(brief(t), 0, make([]byte, 1000))
		if errors.Is(err, bus.ErrStreamFull) {
			break
		}
		if err != nil || seq > 20 {
			t.Fatalf("sequence %d, %v; wanted ErrStreamFull", seq, err)
		}
		stored = seq
	}
	if err := c.TrimInbound(brief(t), stored-1); err != nil {
		t.Fatal(err)
	}
	if seq := must[uint64](t)(c.PublishInbound(brief(t), 1, make([]byte, 1000))); seq != stored+1 {
		t.Errorf("sequence %d behind %d", seq, stored)
	}
}

func TestTrimmedBundlesCountAsNone(t *testing.T) {
	t.Parallel()
	s, c := sole(t)
	for p := range 4 {
		must[uint64](t)(c.PublishInbound(brief(t), p, []byte("a")))
	}
	if err := c.TrimInbound(brief(t), 2); err != nil {
		t.Fatal(err)
	}
	c.Close()
	again := dialSole(t, s)
	ensure(t, again, config())
	for name, reader := range map[string]*bus.Conn{"writer": again, "reader": dial(t, s)} {
		for p, want := range []uint64{0, 0, 3, 4} {
			if got := must[uint64](t)(reader.LastInbound(brief(t), p)); got != want {
				t.Errorf("%s: last input of partition %d: %d, wanted %d", name, p, got, want)
			}
		}
	}
	if at := must[time.Time](t)(again.InboundTime(brief(t), 3)); time.Since(at) > time.Minute {
		t.Errorf("stored at %s", at)
	}
	if _, err := again.InboundTime(brief(t), 2); !errors.Is(err, bus.ErrNoMessage) {
		t.Errorf("trimmed: %v, wanted ErrNoMessage", err)
	}
}

// A bundle that is not as it was written is never passed over.
func TestDamagedBundleStopsTheReaders(t *testing.T) {
	t.Parallel()
	s, c := sole(t)
	first := must[uint64](t)(c.AppendLog(brief(t), 0, []byte("a"), 0))
	c.Close()
	if _, err := administrator(t, s).Publish(t.Context(), "baton.log.all", []byte("\x01garbage garbage garbage garbage")); err != nil {
		t.Fatal(err)
	}
	reader := dial(t, s)
	read := 0
	err := reader.ReadLog(brief(t), bus.ReadOptions{}, func(bus.Message) error { read++; return nil })
	if !errors.Is(err, bus.ErrDamaged) || read != 1 {
		t.Errorf("ReadLog: %v after %d records, wanted ErrDamaged after 1", err, read)
	}
	_, nextErr := reader.NextLog(brief(t), 0, first)
	_, lastErr := reader.LastLog(brief(t), 0)
	_, startErr := dialSole(t, s).EnsureStreams(brief(t), config())
	for name, err := range map[string]error{"NextLog": nextErr, "LastLog": lastErr, "EnsureStreams": startErr} {
		if !errors.Is(err, bus.ErrDamaged) {
			t.Errorf("%s: %v, wanted ErrDamaged", name, err)
		}
	}
}

// A kill in the middle of a write leaves a torn message at the end of a block.
// It was never acknowledged, and the next start writes over it.
func TestTornBundleIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: dir}))
	c := dialSole(t, s)
	ensure(t, c, config())
	first := must[uint64](t)(c.AppendLog(brief(t), 0, []byte("kept"), 0))
	second := must[uint64](t)(c.AppendLog(brief(t), 1, make([]byte, 500), 0))
	must[uint64](t)(c.AppendLog(brief(t), 0, []byte("torn"), first))
	c.Close()
	s.Stop()
	tear(t, dir)
	s = must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: dir}))
	t.Cleanup(s.Stop)
	c = dialSole(t, s)
	ensure(t, c, config())
	if last := must[bus.Message](t)(c.LastLog(brief(t), 0)); last.Sequence != first {
		t.Errorf("last record %d, wanted %d", last.Sequence, first)
	}
	if last := must[bus.Message](t)(c.LastLog(brief(t), 1)); last.Sequence != second {
		t.Errorf("last record of partition 1: %d, wanted %d", last.Sequence, second)
	}
	if seq := must[uint64](t)(c.AppendLog(brief(t), 0, []byte("again"), first)); seq != second+1 {
		t.Errorf("sequence %d, wanted %d", seq, second+1)
	}
}

// tear cuts the last bytes off the log's block, and the server's index of it,
// which a kill would not have written either.
func tear(t *testing.T, dir string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "nats/jetstream/*/streams/"+bus.StreamLog+"/msgs/*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("blocks %v: %v", blocks, err)
	}
	info, err := os.Stat(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(blocks[0], info.Size()-7); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(filepath.Dir(blocks[0]), "index.db")); err != nil {
		t.Fatal(err)
	}
}

func TestSoleWriterIsForTheEmbeddedServer(t *testing.T) {
	t.Parallel()
	if _, err := bus.Dial(t.Context(), bus.Options{URL: "nats://127.0.0.1:1", Sole: true}); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("by URL: %v, wanted ErrInvalid", err)
	}
	c := dialSole(t, start(t, false))
	if _, err := c.AppendLog(brief(t), 0, nil, 0); !errors.Is(err, bus.ErrInvalid) {
		t.Errorf("before EnsureStreams: %v, wanted ErrInvalid", err)
	}
	ensure(t, c, config())
	c.Close()
	if _, err := c.AppendLog(brief(t), 0, nil, 0); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("closed: %v, wanted ErrClosed", err)
	}
	var api jetstream.JetStreamError
	if _, err := c.PublishInbound(brief(t), 0, nil); !errors.Is(err, bus.ErrClosed) || errors.As(err, &api) {
		t.Errorf("closed: %v, wanted ErrClosed", err)
	}
}
