package eventlog_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
)

const (
	appA control.AppID = 700000000000001
	appB control.AppID = 700000000000002
)

func recordOf(entries ...eventlog.Entry) *eventlog.Record {
	for i := range entries {
		if _, page := entries[i].Event.(control.RoleChanged); page {
			entries[i].Thread = control.ThreadKey{Asset: 100200300400500}
			continue
		}
		entries[i].Thread = control.ThreadKey{Asset: 100200300400500, Person: 7000}
	}
	return &eventlog.Record{Partition: 17, Epoch: 4, First: 4021, DecidedAt: 1_790_000_000_123, Entries: entries}
}

func topic(t *testing.T, r *eventlog.Record, at control.Position, o control.Object, s control.State) eventlog.TopicEntry {
	t.Helper()
	change, ok := eventlog.ControlChange(r, at, o, s)
	if !ok {
		t.Fatalf("no topic entry for %+v", r.Entries)
	}
	entry, err := eventlog.Topic(change, eventlog.EncodingJSON)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

// TestTopicEntryIsAsPublished pins a whole message: names, forms, headers.
func TestTopicEntryIsAsPublished(t *testing.T) {
	t.Parallel()
	passed := control.Passed{Change: control.Change{
		From: appA, To: appB, At: 1_790_000_000_120, ExpiresAt: 1_790_086_400_120, Why: control.WhyCall, Metadata: `say "hi"`,
		By: control.Actor{Kind: control.ActorApp, App: appA},
	}}
	r := recordOf(eventlog.Entry{Cause: [16]byte{0xca, 0xfe}, Trace: [16]byte{0x0a}, Event: passed})
	got := topic(t, r, 4021, control.ObjectPage, control.State{Owner: appB, Revision: 9})
	want := eventlog.TopicEntry{
		Subject: "baton.control.v1.page.100200300400500.passed",
		ID:      "17-4021",
		Header: [][2]string{
			{"ce-specversion", "1.0"},
			{"ce-id", "17-4021"},
			{"ce-type", "baton.control.v1.passed"},
			{"ce-source", "/pages/100200300400500"},
			{"ce-subject", "100200300400500/7000"},
			{"ce-time", "2026-09-21T14:13:20.12Z"},
			{"ce-datacontenttype", "application/json"},
		},
		Data: []byte(`{"partition":17,"position":"4021","revision":9,"epoch":"4","object":"page","page_id":"100200300400500",` +
			`"user_id":"7000","kind":"passed","previous_owner":"700000000000001","new_owner":"700000000000002",` +
			`"actor":{"kind":"app","id":"700000000000001"},"reason":"call","metadata":"say \"hi\"",` +
			`"occurred_at":"2026-09-21T14:13:20.120Z","decided_at":"2026-09-21T14:13:20.123Z","expires_at":"2026-09-22T14:13:20.120Z",` +
			`"cause":"command:cafe0000000000000000000000000000","trace_id":"0a000000000000000000000000000000"}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var back controlv1.ControlChange
	if err := protojson.Unmarshal(got.Data, &back); err != nil {
		t.Error(err)
	}
	change, _ := eventlog.ControlChange(r, 4021, control.ObjectPage, control.State{Owner: appB, Revision: 9})
	if !proto.Equal(change, &back) {
		t.Error("the JSON does not read back as the message")
	}
}

func TestEveryKindOfTheTopic(t *testing.T) {
	t.Parallel()
	change := control.Change{From: appA, To: appB, By: control.Actor{Kind: control.ActorPerson}}
	toIdle := control.Change{From: appA, At: 5, By: control.Actor{Kind: control.ActorTimer}, Why: control.WhyInactivity}
	owned := control.State{Owner: appA, Revision: 3, ExpiresAt: 99000}
	tests := []struct {
		event control.Event
		want  *controlv1.ControlChange // kind, owners, actor, reason and metadata
	}{
		{control.Assigned{Change: change}, &controlv1.ControlChange{Kind: "assigned", PreviousOwner: appA.String(), NewOwner: appB.String(), Actor: &controlv1.Actor{Kind: "person", Id: "7000"}}},
		{control.Taken{Change: change}, &controlv1.ControlChange{Kind: "taken", PreviousOwner: appA.String(), NewOwner: appB.String(), Actor: &controlv1.Actor{Kind: "person", Id: "7000"}}},
		{control.Captured{Change: change}, &controlv1.ControlChange{Kind: "captured", PreviousOwner: appA.String(), NewOwner: appB.String(), Actor: &controlv1.Actor{Kind: "person", Id: "7000"}}},
		{control.Released{Change: toIdle}, &controlv1.ControlChange{Kind: "released", PreviousOwner: appA.String(), Actor: &controlv1.Actor{Kind: "timer"}, Reason: "inactivity"}},
		{control.Expired{Change: toIdle}, &controlv1.ControlChange{Kind: "expired", PreviousOwner: appA.String(), Actor: &controlv1.Actor{Kind: "timer"}, Reason: "inactivity"}},
		{control.InboxTaken{Change: change}, &controlv1.ControlChange{Kind: "inbox_taken", PreviousOwner: appA.String(), NewOwner: appB.String(), Actor: &controlv1.Actor{Kind: "person", Id: "7000"}}},
		{control.InboxDone{Change: change}, &controlv1.ControlChange{Kind: "inbox_done", PreviousOwner: appA.String(), NewOwner: appB.String(), Actor: &controlv1.Actor{Kind: "person", Id: "7000"}}},
		{control.Requested{App: appB, Metadata: "m"}, &controlv1.ControlChange{Kind: "requested", PreviousOwner: appA.String(), NewOwner: appA.String(), Actor: &controlv1.Actor{Kind: "app", Id: appB.String()}, Metadata: "m"}},
		{control.Extended{App: appA}, &controlv1.ControlChange{Kind: "extended", PreviousOwner: appA.String(), NewOwner: appA.String(), Actor: &controlv1.Actor{Kind: "app", Id: appA.String()}}},
		{control.MetadataPassed{App: appB, Target: appA, Metadata: "m"}, &controlv1.ControlChange{Kind: "metadata", PreviousOwner: appA.String(), NewOwner: appA.String(), Actor: &controlv1.Actor{Kind: "app", Id: appB.String()}, Metadata: "m", Reason: "to " + appA.String()}},
	}
	for _, test := range tests {
		got, ok := eventlog.ControlChange(recordOf(eventlog.Entry{Event: test.event}), 4021, control.ObjectInstagram, owned)
		if !ok {
			t.Errorf("%T is not on the topic", test.event)
			continue
		}
		seen := &controlv1.ControlChange{
			Kind: got.GetKind(), PreviousOwner: got.GetPreviousOwner(), NewOwner: got.GetNewOwner(), Actor: got.GetActor(),
			Reason: got.GetReason(), Metadata: got.GetMetadata(),
		}
		if !proto.Equal(test.want, seen) {
			t.Errorf("%T:\n got %v\nwant %v", test.event, seen, test.want)
		}
		if got.GetRevision() != 3 || got.GetObject() != "instagram" {
			t.Errorf("%T: revision %d of %s", test.event, got.GetRevision(), got.GetObject())
		}
	}
}

func TestRolesAreAChangeOfThePage(t *testing.T) {
	t.Parallel()
	e := control.RoleChanged{App: appA, Primary: true, At: 1, By: control.Actor{Kind: control.ActorOperator, Name: "ops"}}
	got := topic(t, recordOf(eventlog.Entry{Event: e}), 4021, control.ObjectPage, control.State{})
	want := `{"partition":17,"position":"4021","revision":0,"epoch":"4","object":"page","page_id":"100200300400500","user_id":"",` +
		`"kind":"roles","previous_owner":"","new_owner":"","actor":{"kind":"operator","id":"ops"},"reason":"",` +
		`"metadata":"{\"700000000000001\":[\"primary_receiver\"]}","occurred_at":"1970-01-01T00:00:00.001Z",` +
		`"decided_at":"2026-09-21T14:13:20.123Z","cause":"","trace_id":""}`
	if string(got.Data) != want {
		t.Errorf("got  %s\nwant %s", got.Data, want)
	}
	if !slices.Contains(got.Header, [2]string{"ce-subject", "100200300400500"}) {
		t.Errorf("headers %q", got.Header)
	}
}

// TestTheTopicHasTheChangesAlone: exactly the events of control and the roles
// are on the topic.
func TestTheTopicHasTheChangesAlone(t *testing.T) {
	t.Parallel()
	beside := map[string]bool{"Requested": true, "Extended": true, "MetadataPassed": true, "RoleChanged": true}
	for _, kind := range eventlogtest.Kinds() {
		_, change := control.ChangeOf(kind)
		want := change || beside[reflect.TypeOf(kind).Name()]
		_, ok := eventlog.ControlChange(recordOf(eventlog.Entry{Event: kind}), 4021, control.ObjectPage, control.State{})
		if ok != want || eventlog.OnTopic(kind) != want {
			t.Errorf("%T on the topic: %v", kind, ok)
		}
	}
	if _, ok := eventlog.ControlChange(recordOf(), 4021, control.ObjectPage, control.State{}); ok {
		t.Error("a position beyond the record is on the topic")
	}
}

func TestCauseNamesTheInput(t *testing.T) {
	t.Parallel()
	other := eventlog.Entry{Event: control.Routed{Input: control.Ref{Sequence: 5, Index: 1}}}
	mine := eventlog.Entry{Event: control.Routed{Input: control.Ref{Sequence: 5, Index: 2}}}
	r := recordOf(eventlog.Entry{Event: control.Assigned{}}, other, mine)
	r.Entries[1].Thread.Person++
	got, _ := eventlog.ControlChange(r, 4021, control.ObjectPage, control.State{})
	if got.GetCause() != "input:5-2" {
		t.Errorf("cause %q", got.GetCause())
	}
	timer := control.Expired{Change: control.Change{By: control.Actor{Kind: control.ActorTimer}}}
	r.Entries[0].Event = timer
	if got, _ := eventlog.ControlChange(r, 4021, control.ObjectPage, control.State{}); got.GetCause() != "" {
		t.Errorf("the cause of a lapse: %q", got.GetCause())
	}
}
