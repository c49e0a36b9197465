package eventlog

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/baton-router/baton/pkg/control"
	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
)

// TopicPrefix begins the subjects of the control topic and the ce-type of its
// messages.
const TopicPrefix = "baton.control.v1."

// TopicEntry is a message of the control topic, ready to be published.
type TopicEntry struct {
	// Subject is baton.control.v1.<object>.<page_id>.<kind>.
	Subject string
	// ID is <partition>-<position>, to be Nats-Msg-Id; ce-id is the same.
	ID string
	// Header holds the names and values of the CloudEvents binary-mode headers.
	Header [][2]string
	// Data is the ControlChange in the encoding asked for.
	Data []byte
}

// Encoding is how the bodies of the control topic are written.
type Encoding int

// The encodings: protobuf JSON and binary protobuf.
const (
	EncodingJSON Encoding = iota
	EncodingProtobuf
)

// contentType is the ce-datacontenttype of an encoding.
func (e Encoding) contentType() string {
	if e == EncodingProtobuf {
		return "application/protobuf"
	}
	return "application/json"
}

// ControlChange returns the topic's message for the event of r at position at;
// false when that event is none of the topic's, or not in r. object is the
// kind of asset of the event's page, after the state of the event's thread
// after the event (the zero State for the page itself, and for an event of
// which NeedsState says that it says everything).
func ControlChange(r *Record, at control.Position, object control.Object, after control.State) (*controlv1.ControlChange, bool) {
	e, ok := r.At(at)
	if !ok {
		return nil, false
	}
	kind := kindOf(e.Event)
	if kind == "" {
		return nil, false
	}
	c := &controlv1.ControlChange{
		Partition: r.Partition, Position: uint64(at), Revision: after.Revision, Epoch: r.Epoch, Object: object.String(),
		PageId: decimal(e.Thread.Asset), UserId: decimal(e.Thread.Person), Kind: kind, PreviousOwner: after.Owner.String(),
		NewOwner: after.Owner.String(), DecidedAt: timestamp(r.DecidedAt), ExpiresAt: timestamp(after.ExpiresAt),
		Cause: r.cause(&e, at), TraceId: hexOf(e.Trace),
	}
	describe(c, &e)
	return c, true
}

// OnTopic reports whether an event is one of the control topic's.
func OnTopic(e control.Event) bool { return kindOf(e) != "" }

// NeedsState reports whether the message for an event says what only the state
// after it knows. A change of owner has it all, unless it was logged before
// changes kept their revision.
func NeedsState(e control.Event) bool {
	c, ok := control.ChangeOf(e)
	return !ok || c.Revision == 0
}

// describe fills in what depends on the type of the event.
func describe(c *controlv1.ControlChange, e *Entry) {
	switch event := e.Event.(type) {
	case control.Requested:
		c.Metadata, c.OccurredAt = event.Metadata, timestamp(event.At)
		c.Actor = actorOf(control.Actor{Kind: control.ActorApp, App: event.App}, e.Thread)
	case control.Extended:
		c.OccurredAt, c.ExpiresAt = timestamp(event.At), timestamp(event.ExpiresAt)
		c.Actor = actorOf(control.Actor{Kind: control.ActorApp, App: event.App}, e.Thread)
	case control.MetadataPassed:
		c.Metadata, c.OccurredAt = event.Metadata, timestamp(event.At)
		c.Reason = "to " + event.Target.String()
		c.Actor = actorOf(control.Actor{Kind: control.ActorApp, App: event.App}, e.Thread)
	case control.RoleChanged:
		c.Metadata, c.OccurredAt = rolesOf(event), timestamp(event.At)
		c.Actor = actorOf(event.By, e.Thread)
	default:
		if change, ok := control.ChangeOf(e.Event); ok {
			describeChange(c, &change, e.Thread)
		}
	}
}

func describeChange(c *controlv1.ControlChange, change *control.Change, thread control.ThreadKey) {
	c.PreviousOwner, c.NewOwner = change.From.String(), change.To.String()
	c.Actor, c.Reason, c.Metadata = actorOf(change.By, thread), change.Why.String(), change.Metadata
	c.OccurredAt, c.ExpiresAt = timestamp(change.At), timestamp(change.ExpiresAt)
	if change.Revision != 0 {
		c.Revision = change.Revision
	}
}

// kindOf is the kind of an event on the topic; empty for one that is not on it.
func kindOf(e control.Event) string {
	switch e.(type) {
	case control.Assigned:
		return "assigned"
	case control.Passed:
		return "passed"
	case control.Taken:
		return "taken"
	case control.Released:
		return "released"
	case control.Expired:
		return "expired"
	case control.Captured:
		return "captured"
	case control.InboxTaken:
		return "inbox_taken"
	case control.InboxDone:
		return "inbox_done"
	case control.Requested:
		return "requested"
	case control.Extended:
		return "extended"
	case control.MetadataPassed:
		return "metadata"
	case control.RoleChanged:
		return "roles"
	case control.DoneMarked, control.RosterApplied, control.Routed, control.EchoWaits, control.SendAccepted,
		control.SendConfirmed, control.SendFailed, control.SurveyHeld, control.SurveyDelivered, control.SurveyDropped,
		control.SideConfirmed, control.SideRefused, control.UserMenuSet, control.Refused:
		return ""
	}
	return ""
}

// rolesOf is the app_roles of the platform's webhook. Source: protocol 5.
func rolesOf(e control.RoleChanged) string {
	role := "secondary_receiver"
	if e.Primary {
		role = "primary_receiver"
	}
	return fmt.Sprintf(`{"%d":["%s"]}`, uint64(e.App), role)
}

func actorOf(a control.Actor, thread control.ThreadKey) *controlv1.Actor {
	switch a.Kind {
	case control.ActorApp:
		return &controlv1.Actor{Kind: "app", Id: a.App.String()}
	case control.ActorInbox:
		return &controlv1.Actor{Kind: "inbox", Id: a.App.String()}
	case control.ActorPerson:
		return &controlv1.Actor{Kind: "person", Id: decimal(thread.Person)}
	case control.ActorPlatform:
		return &controlv1.Actor{Kind: "platform"}
	case control.ActorOperator:
		return &controlv1.Actor{Kind: "operator", Id: a.Name}
	case control.ActorTimer:
		return &controlv1.Actor{Kind: "timer"}
	}
	return nil
}

// cause names what led to the entry at position at: the API call, or the
// webhook event, which the Routed that follows on the same thread names.
func (r *Record) cause(e *Entry, at control.Position) string {
	if e.Cause != [16]byte{} {
		return "command:" + hexOf(e.Cause)
	}
	if c, ok := control.ChangeOf(e.Event); ok && c.By.Kind == control.ActorTimer {
		return ""
	}
	for _, next := range r.Entries[at-r.First+1:] {
		routed, ok := next.Event.(control.Routed)
		if ok && next.Thread == e.Thread && next.Cause == [16]byte{} {
			return fmt.Sprintf("input:%d-%d", routed.Input.Sequence, routed.Input.Index)
		}
	}
	return ""
}

// Topic makes the message for c. Its texts share one string, since every change of
// control makes one (BenchmarkTopic).
func Topic(c *controlv1.ControlChange, encoding Encoding) (TopicEntry, error) {
	var t texts
	t.out = t.room[:0]
	id := t.end(strconv.AppendUint(append(strconv.AppendUint(t.out, uint64(c.GetPartition()), 10), '-'), c.GetPosition(), 10))
	object := t.add(TopicPrefix, c.GetObject(), ".", c.GetPageId(), ".", c.GetKind())
	kind := t.add(TopicPrefix, c.GetKind())
	source := t.add("/pages/", c.GetPageId())
	subject := t.add(c.GetPageId())
	if c.GetUserId() != "" {
		subject = t.add(c.GetPageId(), "/", c.GetUserId())
	}
	at := t.end(c.GetOccurredAt().AsTime().AppendFormat(t.out, time.RFC3339Nano))
	text := string(t.out)
	data, err := topicBody(c, encoding)
	if err != nil {
		return TopicEntry{}, fmt.Errorf("control change %s: %w", id.of(text), err)
	}
	return TopicEntry{
		Subject: object.of(text),
		ID:      id.of(text),
		Header: [][2]string{
			{"ce-specversion", "1.0"},
			{"ce-id", id.of(text)},
			{"ce-type", kind.of(text)},
			{"ce-source", source.of(text)},
			{"ce-subject", subject.of(text)},
			{"ce-time", at.of(text)},
			{"ce-datacontenttype", encoding.contentType()},
		},
		Data: data,
	}, nil
}

// texts are written one behind the other.
type texts struct {
	room [256]byte // for the usual ones
	out  []byte
}

// span is the place of one of them.
type span struct{ from, to int }

func (s span) of(text string) string { return text[s.from:s.to] }

// end makes what out has grown to the texts, and returns the place of what is new.
func (t *texts) end(out []byte) span {
	s := span{len(t.out), len(out)}
	t.out = out
	return s
}

func (t *texts) add(parts ...string) span {
	out := t.out
	for _, part := range parts {
		out = append(out, part...)
	}
	return t.end(out)
}

func topicBody(c *controlv1.ControlChange, encoding Encoding) ([]byte, error) {
	if encoding == EncodingProtobuf {
		return proto.MarshalOptions{Deterministic: true}.Marshal(c)
	}
	return changeJSON(c)
}

// ParseTopic reads a body of the control topic in either encoding: JSON begins
// with a brace, and no binary ControlChange does.
func ParseTopic(data []byte) (*controlv1.ControlChange, error) {
	c := new(controlv1.ControlChange)
	var err error
	if len(data) > 0 && data[0] == '{' {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, c)
	} else {
		err = proto.Unmarshal(data, c)
	}
	if err != nil {
		return nil, fmt.Errorf("control change: %w", err)
	}
	return c, nil
}

// timestamp is t, nil for never.
func timestamp(t control.Millis) *timestamppb.Timestamp {
	if t == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMilli(int64(t)))
}

func decimal(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 10)
}

func hexOf(id [16]byte) string {
	if id == [16]byte{} {
		return ""
	}
	return hex.EncodeToString(id[:])
}
