package main

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// TestBackupInTheMiddleOfTraffic takes a backup of a node at work, restores it
// onto an empty machine, and goes on there.
func TestBackupInTheMiddleOfTraffic(t *testing.T) {
	t.Parallel()
	skipShort(t)
	takeSlot(t)
	old := newWorld(t)
	l := newLoad(old)
	dir := filepath.Join(t.TempDir(), "backup")
	before := old.backedUp(l, dir)

	other := newWorld(t) // another machine, other apps to listen
	if a := baton(t.Context(), "restore", dir, "--config", other.config); a.code != exitDone {
		t.Fatalf("restore: %+v", a)
	}
	restored := other.read()
	checkPrefix(t, old.read(), restored)
	other.checkStored(restored, before.messages())
	other.checkCalls(restored, before)

	after := newLoad(other)
	after.turns = maps.Clone(l.turns) // people go on, nobody says the same twice
	next := other.start("", 0)
	next.awaitReady()
	other.replayEqual()
	after.until(func() { awaitMessages(t, after, 60) })
	after.flush()
	other.settle(after)
	other.awaitQuiet()
	for _, line := range []string{"log verify", "replay", "doctor"} {
		if a := baton(t.Context(), append([]string{"--admin", "http://" + other.admin}, strings.Fields(line)...)...); a.code != exitDone && line != "doctor" || strings.Contains(a.out, "halted") {
			t.Errorf("%s: %+v", line, a)
		}
	}
	next.stop()
	r := other.read()
	other.checkStore(r)
	other.checkInput(r, append(before.messages(), after.messages()...))
	before.done = append(before.done, after.successes()...)
	other.checkCalls(r, before)
	other.checkTopic(r)
	checkAllDelivered(t, r, restored, old, other)
}

// backedUp runs a node under load and takes a backup in the middle. It returns
// what was acknowledged before the backup began.
func (w *world) backedUp(l *load, dir string) (before *load) {
	w.t.Helper()
	first := w.start("", 0)
	first.awaitReady()
	l.until(func() {
		awaitMessages(w.t, l, 100)
		before = newLoad(w)
		before.hook, before.done = l.messages(), l.successes()
		if a := baton(w.t.Context(), "--admin", "http://"+w.admin, "backup", dir); a.code != exitDone {
			w.t.Errorf("backup: %+v", a)
		} else {
			w.t.Logf("with %d messages acknowledged:\n%s", len(before.hook), a.out)
		}
		awaitMessages(w.t, l, len(l.messages())+40)
	})
	w.awaitQuiet()
	first.stop()
	return before
}

func awaitMessages(t *testing.T, l *load, n int) {
	t.Helper()
	if !within(settleIn, func() bool { return len(l.messages()) >= n }) {
		t.Fatalf("only %d of %d messages were acknowledged", len(l.messages()), n)
	}
}

// checkPrefix: the restored log is the beginning of the source's, byte by byte as
// the hashes say, and folds to the digest that the source had there.
func checkPrefix(t *testing.T, source, restored *records) {
	t.Helper()
	if len(restored.facts) == 0 || len(restored.facts) >= len(source.facts) {
		t.Errorf("%d events restored of %d", len(restored.facts), len(source.facts))
	}
	var fold eventlog.Fold
	for p, have := range restored.log {
		was := source.log[p]
		for i, rec := range have {
			if i >= len(was) || was[i].Hash != rec.Hash {
				t.Fatalf("partition %d: record %d is not the source's", p, i)
			}
			if err := fold.Apply(was[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fold.Digest() != restored.digest {
		t.Error("the restored log folds to another digest than the source's up to the same positions")
	}
}

// checkAllDelivered: each app got what the log plans, up to the backup from the
// one node or the other and behind it from the new one, in order, and what it
// got from both is the same.
func checkAllDelivered(t *testing.T, r, restored *records, old, other *world) {
	t.Helper()
	page := r.snapshot.Delivery(crashPage)
	repeats := 0
	for _, app := range crashApps() {
		got := other.apps.deliveries(app)
		other.checkOrder(app, got)
		before, since := byID(old.apps.deliveries(app)), byID(got)
		for i := range r.facts {
			f := &r.facts[i]
			kept := restored.log[f.partition]
			below := f.position <= kept[len(kept)-1].Last()
			was, then := before[f.id()]
			is, now := since[f.id()]
			switch planned := isPlanned(page, f, app); {
			case planned && !now && !(below && then):
				t.Errorf("app %d has not got %s (%s)", app, f.id(), control.Name(f.Event))
			case !planned && now:
				t.Errorf("app %d got %s, which is not for it", app, f.id())
			case below && then && now:
				if repeats++; was.element != is.element || was.channel != is.channel {
					t.Errorf("app %d: delivery %s came again with another content:\n%s\n%s", app, f.id(), was.element, is.element)
				}
			}
		}
	}
	t.Logf("%d deliveries came again", repeats)
}

func byID(all []delivered) map[string]delivered {
	found := map[string]delivered{}
	for _, d := range all {
		found[d.id] = d
	}
	return found
}
