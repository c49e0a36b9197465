package delivery

import "github.com/baton-router/baton/pkg/control"

// Page is a page's delivery rules at one roster version. It is shared and never
// changed after it was built.
type Page struct {
	Rules *control.Page
	// Receivers are the connected apps, by ascending app id.
	Receivers []Receiver
}

// Receiver is what a delivery depends on of one connected app.
type Receiver struct {
	App control.AppID
	// Fields are those subscribed to both at app and at page level.
	Fields FieldSet
	// StandbyExtended sends standby copies of more kinds than the platform's
	// four (C6).
	StandbyExtended bool
	// NumericAppIDs writes app ids in handover events as numbers (C20),
	// EmptyMessaging adds an empty messaging array to standby entries. Both
	// are the renderer's business and copied to the delivery.
	NumericAppIDs  bool
	EmptyMessaging bool
}

// Entry is a decided event where it stands in the log.
type Entry struct {
	Partition int
	Position  control.Position
	Thread    control.ThreadKey
	// Time is when the record was decided: entry.time on the wire (12.29).
	Time  control.Millis
	Event control.Event
}

// BodyKind says what the receiver's copy consists of.
type BodyKind uint8

// The bodies.
const (
	// BodyEvent is the webhook element Input as it came.
	BodyEvent BodyKind = iota + 1
	// BodyNoPayload is Input without postback.payload.
	BodyNoPayload
	// BodyPass, BodyTake, BodyRequest, BodyMetadata and BodyRoles are
	// handover events made by Baton.
	BodyPass
	BodyTake
	BodyRequest
	BodyMetadata
	BodyRoles
)

//nolint:gochecknoglobals // a constant table
var bodyNames = [...]string{"", "event", "no_payload", "pass", "take", "request", "metadata", "roles"}

// String is the body's name in the delivery log and in vectors.
func (b BodyKind) String() string {
	if int(b) < len(bodyNames) {
		return bodyNames[b]
	}
	return ""
}

// Delivery is one app's copy of an event.
type Delivery struct {
	App     control.AppID
	Channel control.Channel
	Body    BodyKind
	// Input is the webhook event of BodyEvent and BodyNoPayload. Rewrite says
	// that it is an echo whose app_id becomes Sender (zero: stays) and, when
	// Own, whose metadata becomes Metadata (empty: removed).
	Input   control.Ref
	Rewrite bool
	Own     bool
	Sender  control.AppID
	// Previous and New are the owners of a pass or take, zero for idle; New is
	// also the app that requests, that sent the metadata, or whose role
	// changed.
	Previous, New control.AppID
	// Metadata is that of the handover event (empty: omitted) or of the echo.
	Metadata string
	// Primary is the new role in BodyRoles.
	Primary bool
	// NumericAppIDs and EmptyMessaging are the receiver's.
	NumericAppIDs  bool
	EmptyMessaging bool
}

// Plan lists the deliveries of an entry, by ascending app id, at most one per
// app. An inbox never receives. The caller owns the result.
func Plan(p *Page, e Entry) []Delivery { return AppendPlan(nil, p, e) }

// AppendPlan appends the deliveries of an entry to dst, as Plan lists them.
func AppendPlan(dst []Delivery, p *Page, e Entry) []Delivery {
	pl := plan{page: p, person: e.Thread.Person, list: dst}
	switch event := e.Event.(type) {
	case control.Routed:
		pl.routed(&event)
	case control.Passed:
		pl.passed(&event.Change)
	case control.InboxDone:
		pl.passed(&event.Change)
	case control.Assigned:
		pl.assigned(&event.Change)
	case control.Taken:
		pl.taken(&event.Change, event.Metadata)
	case control.InboxTaken:
		pl.taken(&event.Change, event.Metadata)
	case control.Captured:
		pl.taken(&event.Change, "")
	case control.Requested:
		pl.requested(&event)
	case control.MetadataPassed:
		pl.handover(event.Target, Delivery{Body: BodyMetadata, New: event.App, Metadata: event.Metadata})
	case control.RoleChanged:
		pl.roleChanged(&event)
	case control.Released, control.Expired, control.DoneMarked, control.Extended, control.RosterApplied,
		control.EchoWaits, control.SendAccepted, control.SendConfirmed, control.SendFailed, control.SurveyHeld,
		control.SurveyDelivered, control.SurveyDropped, control.SideConfirmed, control.SideRefused,
		control.UserMenuSet, control.Refused:
	}
	return pl.list
}
