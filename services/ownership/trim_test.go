package ownership

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// kept is the first sequence of the inbound stream.
func (w *world) kept() uint64 {
	w.t.Helper()
	first, _, _, err := w.conn.InboundRange(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return first
}

func (w *world) trim() {
	w.t.Helper()
	if err := w.svc.Trim(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func TestTrimKeepsWhatIsYoungOrUndecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.RetainInbound = time.Hour
	w.rosters.set(1, strings.NewReplacer("secret: s1}", "secret: s1, delivery: {retry_for: 2h}}",
		"secret: s3}", "secret: s3, delivery: {retry_for: 2h}}",
		"features: [human_agent]}", "features: [human_agent], delivery: {retry_for: 2h}}").Replace(connectAll))
	w.start()
	w.held()
	w.trim() // an empty stream
	quiet := w.arrive(w.message(person(1, 0)))
	w.consumed(1, quiet)
	var last uint64
	for range 5 {
		last = w.arrive(w.message(person(0, 0)))
	}
	w.consumed(0, last)
	last = w.arrive(w.message(person(2, 0)))
	w.consumed(2, last)
	w.clock.advance(90 * time.Minute)
	if w.trim(); w.kept() != 1 {
		t.Errorf("trimmed to %d before the longest retry of an app was over", w.kept())
	}
	w.clock.advance(time.Hour)
	open := w.input.close()
	undecided := w.arrive(w.message(person(2, 0)))
	if w.trim(); w.kept() != undecided {
		t.Errorf("the stream begins at %d, undecided is %d", w.kept(), undecided)
	}
	open()
	w.consumed(2, undecided)
	if w.trim(); w.kept() != undecided+1 {
		t.Errorf("the stream begins at %d, all is decided", w.kept())
	}
}

func TestDuplicatesOnAQuietPartitionDoNotHoldUpTrimming(t *testing.T) {
	t.Parallel()
	w := started(t, func(w *world) { w.cfg.RetainInbound = time.Hour })
	e := w.message(person(1, 0))
	w.arrive(e)
	dup := w.arrive(e)
	w.consumed(1, dup)
	last := w.arrive(w.message(person(0, 0)))
	w.consumed(0, last)
	w.clock.advance(40 * time.Hour)
	if w.trim(); w.kept() != last+1 {
		t.Errorf("the stream begins at %d, all up to %d is decided and old", w.kept(), last)
	}
	if _, err := w.conn.InboundTime(t.Context(), last); !errors.Is(err, bus.ErrNoMessage) {
		t.Errorf("message %d: %v", last, err)
	}
	w.restart()
	w.consumed(1, w.arrive(w.message(person(1, 0))))
	w.check()
}

func TestNoRetentionMeansForEver(t *testing.T) {
	t.Parallel()
	w := started(t)
	w.consumed(0, w.arrive(w.message(person(0, 0))))
	w.clock.advance(10000 * time.Hour)
	if w.trim(); w.kept() != 1 {
		t.Errorf("the stream begins at %d", w.kept())
	}
}
