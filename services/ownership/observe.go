package ownership

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// Point names a place in a holder's work. Crash tests stop the process there.
type Point string

// The points, numbered as in the crash table of the design.
const (
	PointInputRead      Point = "4-input-read"
	PointRecordSend     Point = "5-record-send"
	PointRecordAcked    Point = "6-record-acked"
	PointApplied        Point = "8-applied"
	PointControlSend    Point = "9-control-send"
	PointControlAcked   Point = "9-control-acked"
	PointClaimSend      Point = "15-claim-send"
	PointClaimAcked     Point = "16-claim-acked"
	PointOutcomeArrived Point = "12-outcome-arrived"
	PointYielded        Point = "18-yielded"
	PointSnapshotFiles  Point = "17-snapshot-files"
	PointSnapshotNamed  Point = "17-snapshot-named"
)

// Observer is told what happens; nil fields are skipped. The functions must not
// block and may be called from many goroutines.
type Observer struct {
	// Reached is called at each Point.
	Reached func(p Point, partition int)
	// Decided is called for each event that was committed.
	Decided func(control.Event)
	// Refused is called for each refused command.
	Refused func(control.Verb, control.Reason)
	// Owned is called when an app gains (+1) or loses (-1) a thread, and for
	// the threads found at a claim.
	Owned func(app control.AppID, delta int)
	// Appended is called after each record with how long the fenced publish
	// took and how many events it held.
	Appended func(d time.Duration, events int)
	// Command is called for each command with its result ("ok", "refused",
	// "busy", "unavailable", "repeat").
	Command func(verb, result string)
	// Duplicate is called for each absorbed webhook event.
	Duplicate func()
	// Fenced is called for a record of an older epoch, or a deposed holder.
	Fenced func(partition int)
	// Halted is called when a partition halts.
	Halted func(partition int, reason string)
	// Holding is called when a partition is held: from now on it decides.
	Holding func(partition int)
	// Stepped is called after each step of a holder, and when it begins to hold.
	Stepped func(partition int)
	// Repeated is called for each repeat of a fenced publish whose outcome is
	// not known.
	Repeated func(partition int)
	// ReadsAlone is called when a partition has left the shared reader of the
	// input and catches up by itself.
	ReadsAlone func(partition int)
	// Drift is called when the platform refuses a mirrored side.
	Drift func()
	// Claimed is called after each accepted claim with how many records the node
	// lacked when it began: those it had to replay first.
	Claimed func(partition, lacked int)
	// Snapshot is called when a snapshot was stored, with nil, and when that
	// failed.
	Snapshot func(err error)
}

func (o *Observer) reached(p Point, partition int) {
	if o.Reached != nil {
		o.Reached(p, partition)
	}
}

func (o *Observer) decided(e control.Event) {
	if o.Decided != nil {
		o.Decided(e)
	}
}

func (o *Observer) refused(r control.Refusal) {
	if o.Refused != nil {
		o.Refused(r.Verb, r.Reason)
	}
}

func (o *Observer) owned(app control.AppID, delta int) {
	if o.Owned != nil && app != 0 {
		o.Owned(app, delta)
	}
}

func (o *Observer) appended(d time.Duration, events int) {
	if o.Appended != nil {
		o.Appended(d, events)
	}
}

func (o *Observer) command(verb, result string) {
	if o.Command != nil {
		o.Command(verb, result)
	}
}

func (o *Observer) duplicate() {
	if o.Duplicate != nil {
		o.Duplicate()
	}
}

func (o *Observer) fenced(partition int) {
	if o.Fenced != nil {
		o.Fenced(partition)
	}
}

func (o *Observer) halted(partition int, reason string) {
	if o.Halted != nil {
		o.Halted(partition, reason)
	}
}

func (o *Observer) holding(partition int) {
	if o.Holding != nil {
		o.Holding(partition)
	}
}

func (o *Observer) stepped(partition int) {
	if o.Stepped != nil {
		o.Stepped(partition)
	}
}

func (o *Observer) repeated(partition int) {
	if o.Repeated != nil {
		o.Repeated(partition)
	}
}

func (o *Observer) aside(partition int) {
	if o.ReadsAlone != nil {
		o.ReadsAlone(partition)
	}
}

func (o *Observer) drift() {
	if o.Drift != nil {
		o.Drift()
	}
}

func (o *Observer) snapshot(err error) {
	if o.Snapshot != nil {
		o.Snapshot(err)
	}
}

func (o *Observer) claimed(partition, lacked int) {
	if o.Claimed != nil {
		o.Claimed(partition, lacked)
	}
}
