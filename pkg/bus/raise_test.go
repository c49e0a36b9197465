package bus_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
)

// TestAnEarlierFormatIsRaisedOnlyWhenAsked: a start refuses it, and what the
// streams hold stays as it is.
func TestAnEarlierFormatIsRaisedOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	if older, err := c.RaiseFormat(t.Context(), config(), false); err != nil || len(older) != 0 {
		t.Errorf("no streams: %v %v", older, err)
	}
	ensure(t, c, config())
	fill(t, c, 0, 0, 3)
	js := administrator(t, s)
	list, streams := js.ListStreams(t.Context()), 0
	for info := range list.Info() {
		info.Config.Metadata["baton_format"] = "1"
		must[jetstream.Stream](t)(js.UpdateStream(t.Context(), info.Config))
		streams++
	}
	if _, err := c.EnsureStreams(t.Context(), config()); !errors.Is(err, bus.ErrOlderFormat) {
		t.Fatalf("a start: %v", err)
	}
	before := streamTexts(t, js)
	older, err := c.RaiseFormat(t.Context(), config(), true)
	if err != nil || older[bus.StreamLog] != 1 || streamTexts(t, js) != before {
		t.Errorf("dry: %v %v", older, err)
	}
	other := config()
	other.Partitions++
	if _, err := c.RaiseFormat(t.Context(), other, false); !errors.Is(err, bus.ErrPartitionCount) || streamTexts(t, js) != before {
		t.Errorf("of another installation: %v", err)
	}
	if older, err = c.RaiseFormat(t.Context(), config(), false); err != nil || streams == 0 || len(older) != streams {
		t.Fatalf("%v %v", older, err)
	}
	if id := ensure(t, c, config()); id.Format != bus.Format {
		t.Errorf("format %d", id.Format)
	}
	if messages(t, c, bus.StreamLog) != 3 {
		t.Error("the log has changed")
	}
	if older, err = c.RaiseFormat(t.Context(), config(), false); err != nil || len(older) != 0 {
		t.Errorf("once more: %v %v", older, err)
	}
}
