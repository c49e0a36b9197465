package ownership_test

import (
	"fmt"
	"testing"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/store/storetest"
	"github.com/baton-router/baton/services/ownership"
)

// Crash point 7: what was applied and not synced is lost in a power cut. The
// next start gets it from the stream again, to the same digest, whatever part of
// the unsynced state was left, and decides nothing twice.
func TestPowerCutStore(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 30, 70, 100} {
		t.Run(fmt.Sprintf("%d percent of the unsynced state are left", percent), func(t *testing.T) {
			t.Parallel()
			s := newStreams(t)
			disk := storetest.NewDisk()
			first := s.hold(s.open(disk), s.conn, ownership.Observer{})
			first.awaitHeld()
			s.write(64)
			s.allDecidedOnce()
			if err := first.store.Sync(); err != nil {
				t.Fatal(err)
			}
			s.write(64)
			s.allDecidedOnce()
			for n := range 16 {
				if r, err := s.ask(pass(byte(n+1), person(n))); err != nil || r.GetStatus() != commandv1.Status_STATUS_OK {
					t.Fatalf("pass: %v %v", r, err)
				}
			}
			left := disk.CutPower(percent, uint64(percent))
			first.stop()
			next := s.hold(s.open(left), s.conn, ownership.Observer{})
			next.awaitHeld()
			next.equalsFold()
			repeatsAreAnswered(t, s)
			s.write(32)
			s.allDecidedOnce()
			next.equalsFold()
		})
	}
}

// repeatsAreAnswered asks again under the command ids of before the power cut:
// the logged answers come back.
func repeatsAreAnswered(t *testing.T, s *streams) {
	t.Helper()
	_, before := s.history()
	for n := range 16 {
		if r, err := s.ask(pass(byte(n+1), person(n))); err != nil || r.GetStatus() != commandv1.Status_STATUS_OK || r.GetPosition() == 0 {
			t.Errorf("repeat of a command: %v %v", r, err)
		}
	}
	if _, after := s.history(); after.Digest() != before.Digest() {
		t.Error("repeats of commands changed something")
	}
}
