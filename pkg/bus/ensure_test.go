package bus_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// administrator is somebody with NATS's own tools.
func administrator(t *testing.T, s *embedded.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.User(), s.Password()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return must[jetstream.JetStream](t)(jetstream.New(nc))
}

func TestStreamsAreCreatedOnceAndKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var first bus.Identity
	for restart := range 2 {
		s := must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: dir}))
		c := dial(t, s)
		id := ensure(t, c, config())
		if again := ensure(t, c, config()); again != id {
			t.Errorf("identity %v, then %v", id, again)
		}
		if restart == 0 {
			first = id
			fill(t, c, 0, 0, 3)
		} else if last := must[bus.Message](t)(c.LastLog(brief(t), 0)); last.Sequence != 3 {
			t.Errorf("last record %d after the restart", last.Sequence)
		}
		if id != first || id.BatonID == [16]byte{} || id.Partitions != 4 || id.Format != bus.Format {
			t.Errorf("identity %+v, first %+v", id, first)
		}
		c.Close()
		s.Stop()
	}
}

func TestNodesThatStartTogetherAgree(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	var wg sync.WaitGroup
	ids := make([]bus.Identity, 6)
	for i := range ids {
		c := dial(t, s)
		wg.Go(func() {
			id, err := c.EnsureStreams(t.Context(), config())
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("identities %v", ids)
		}
	}
}

func TestBadConfigIsRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, false))
	for name, spoil := range map[string]func(*bus.Config){
		"no partitions": func(c *bus.Config) { c.Partitions = 0 },
		"many":          func(c *bus.Config) { c.Partitions = 5000 },
		"no replica":    func(c *bus.Config) { c.Replicas = 0 },
		"two replicas":  func(c *bus.Config) { c.Replicas = 2 },
		"negative":      func(c *bus.Config) { c.InboundBytes = -1 },
		"short age":     func(c *bus.Config) { c.ControlAge = time.Millisecond },
	} {
		cfg := config()
		spoil(&cfg)
		if _, err := c.EnsureStreams(t.Context(), cfg); !errors.Is(err, bus.ErrInvalid) {
			t.Errorf("%s: %v, wanted ErrInvalid", name, err)
		}
	}
	if _, err := c.StreamUse(t.Context()); !errors.Is(err, bus.ErrStreamMissing) {
		t.Errorf("streams were created: %v", err)
	}
}

// spoil changes one stream behind Baton's back and returns what a start says.
func spoil(t *testing.T, stream string, change func(*jetstream.StreamConfig)) error {
	t.Helper()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	js := administrator(t, s)
	info := must[jetstream.Stream](t)(js.Stream(t.Context(), stream)).CachedInfo()
	cfg := info.Config
	change(&cfg)
	if cfg.Name == "" { // remove it
		if err := js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	} else {
		must[jetstream.Stream](t)(js.UpdateStream(t.Context(), cfg))
	}
	before := streamTexts(t, js)
	_, err := c.EnsureStreams(t.Context(), config())
	if diff := before != streamTexts(t, js); diff {
		t.Errorf("%s: a start has altered a stream", stream)
	}
	return err
}

func streamTexts(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	var out strings.Builder
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		out.WriteString(info.Config.Name + info.Config.MaxAge.String())
		for _, k := range slices.Sorted(maps.Keys(info.Config.Metadata)) {
			out.WriteString(k + info.Config.Metadata[k])
		}
	}
	if list.Err() != nil {
		t.Fatal(list.Err())
	}
	return out.String()
}

func TestOtherInstallationsAreRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		stream string
		change func(*jetstream.StreamConfig)
		class  error
		says   []string
	}{
		"partition count": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { c.Metadata["baton_partitions"] = "64" },
			bus.ErrPartitionCount,
			[]string{bus.StreamLog, `"64"`, "wanted 4", "new installation"},
		},
		"newer format": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { c.Metadata["baton_format"] = "3" },
			bus.ErrNewerFormat,
			[]string{bus.StreamLog, "found 3", "wanted at most 2", "newer"},
		},
		"older format": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { c.Metadata["baton_format"] = "1" },
			bus.ErrOlderFormat,
			[]string{bus.StreamLog, "found 1", "wanted 2", "keep a copy", "baton doctor --repair --config FILE"},
		},
		"no format": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { delete(c.Metadata, "baton_format") },
			bus.ErrForeignStream,
			[]string{bus.StreamLog, "baton_format", "restore"},
		},
		"not Baton's": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { c.Metadata = nil },
			bus.ErrForeignStream,
			[]string{bus.StreamLog, "another NATS account"},
		},
		"damaged id": {
			bus.StreamLog, func(c *jetstream.StreamConfig) { c.Metadata["baton_id"] = "xyz" },
			bus.ErrForeignStream,
			[]string{bus.StreamLog, `"xyz"`},
		},
		"another's cursors": {
			bus.StreamCursor, func(c *jetstream.StreamConfig) { c.Metadata["baton_id"] = strings.Repeat("ab", 16) },
			bus.ErrForeignStream,
			[]string{bus.StreamCursor, "abab", "one backup"},
		},
		"newer cursors": {
			bus.StreamCursor, func(c *jetstream.StreamConfig) { c.Metadata["baton_format"] = "7" },
			bus.ErrNewerFormat,
			[]string{bus.StreamCursor},
		},
	}
	for name, tc := range cases {
		err := spoil(t, tc.stream, tc.change)
		if !errors.Is(err, tc.class) {
			t.Errorf("%s: %v, wanted %v", name, err, tc.class)
			continue
		}
		for _, part := range tc.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
}

func TestEveryDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	err := spoil(t, bus.StreamControl, func(c *jetstream.StreamConfig) {
		c.MaxAge, c.MaxMsgs, c.AllowDirect = time.Hour, 10, false
	})
	if !errors.Is(err, bus.ErrStreamDiffers) {
		t.Fatal(err)
	}
	for _, part := range []string{
		"BATON_CONTROL: max_age is 1h0m0s, wanted 0s: set retention.control",
		"BATON_CONTROL: max_msgs is 10, wanted -1: somebody has altered",
		"BATON_CONTROL: allow_direct is false, wanted true",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	var d *bus.DifferenceError
	if !errors.As(err, &d) || d.Stream != bus.StreamControl {
		t.Errorf("first difference %+v", d)
	}
}

func TestLostStreamIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{bus.StreamLog, bus.StreamInbound, bus.StreamCursor} {
		s := start(t, false)
		c := dial(t, s)
		ensure(t, c, config())
		must[uint64](t)(c.SaveRoster(brief(t), []byte("one"), 0))
		js := administrator(t, s)
		if err := js.DeleteStream(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		_, err := c.EnsureStreams(t.Context(), config())
		if !errors.Is(err, bus.ErrStreamMissing) || !strings.Contains(err.Error(), lost) || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s lost: %v, wanted ErrStreamMissing", lost, err)
		}
	}
}

func TestInterruptedCreationIsFinished(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{bus.StreamLog, bus.StreamControl} {
		s := start(t, false)
		c := dial(t, s)
		id := ensure(t, c, config())
		if err := administrator(t, s).DeleteStream(t.Context(), missing); err != nil {
			t.Fatal(err)
		}
		if again := ensure(t, c, config()); again != id {
			t.Errorf("without %s: identity %v, then %v", missing, id, again)
		}
	}
}

func TestAdjustStreamsFollowsTheConfiguration(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	must[uint64](t)(c.PublishInbound(brief(t), 0, []byte("a")))
	next := config()
	next.InboundBytes, next.ControlAge = 1<<20, time.Hour
	if _, err := c.EnsureStreams(t.Context(), next); !errors.Is(err, bus.ErrStreamDiffers) {
		t.Fatalf("a start with another retention: %v", err)
	}
	changes, err := c.AdjustStreams(brief(t), next)
	if err != nil || len(changes) != 2 {
		t.Fatalf("changes %v, %v", changes, err)
	}
	ensure(t, c, next)
	if got := messages(t, c, bus.StreamInbound); got != 1 {
		t.Errorf("%d messages after the change", got)
	}
	js := administrator(t, s)
	cfg := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamInbound)).CachedInfo().Config
	cfg.MaxMsgs = 5
	must[jetstream.Stream](t)(js.UpdateStream(t.Context(), cfg))
	if changes, err := c.AdjustStreams(brief(t), config()); !errors.Is(err, bus.ErrStreamDiffers) || changes != nil {
		t.Errorf("other differences were overlooked: %v, %v", changes, err)
	}
}

// Cursors must outlive the age of the changes: without them a quiet partition
// would be published again from its beginning.
func TestControlCursorsOutliveTheChanges(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, false))
	cfg := config()
	cfg.ControlAge = time.Second
	ensure(t, c, cfg)
	ctx := brief(t)
	seqs := must[[]uint64](t)(c.PublishControl(ctx, []bus.ControlMessage{change(0, 1)}, []bus.CursorMove{{Partition: 0, Data: []byte("1")}}))
	lone := must[[]uint64](t)(c.PublishControl(ctx, nil, []bus.CursorMove{{Partition: 1, Data: []byte("epoch")}}))
	for messages(t, c, bus.StreamControl) > 2 { // the change goes within some seconds
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the change did not age out")
		}
	}
	if data, seq, err := c.ControlCursor(ctx, 0); string(data) != "1" || seq != seqs[0] || err != nil {
		t.Errorf("cursor of a batch: %q at %d, %v", data, seq, err)
	}
	if data, seq, err := c.ControlCursor(ctx, 1); string(data) != "epoch" || seq != lone[0] || err != nil {
		t.Errorf("cursor by itself: %q at %d, %v", data, seq, err)
	}
}
