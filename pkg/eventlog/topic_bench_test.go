package eventlog_test

import (
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// BenchmarkTopic makes the message of one change: an assignment by an inbound
// message.
func BenchmarkTopic(b *testing.B) {
	r := recordOf(
		eventlog.Entry{Event: control.Assigned{Change: control.Change{
			To: appA, At: 1_790_000_000_120, ExpiresAt: 1_790_086_400_120, Why: control.WhyCall, By: control.Actor{Kind: control.ActorPerson},
		}}},
		eventlog.Entry{Event: control.Routed{Input: control.Ref{Sequence: 77, Index: 3}}},
	)
	b.ReportAllocs()
	for b.Loop() {
		change, _ := eventlog.ControlChange(r, 4021, control.ObjectPage, control.State{Owner: appA, Revision: 1})
		if _, err := eventlog.Topic(change, eventlog.EncodingJSON); err != nil {
			b.Fatal(err)
		}
	}
}
