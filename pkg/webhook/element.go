package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/baton-router/baton/pkg/control"
)

// Event is one element of a messaging or standby array with the fields that the
// rules need. Raw aliases the parsed body; the strings are copies.
type Event struct {
	// Asset is the entry's page or account. Person is the other side: the
	// sender, or the recipient of what the asset itself said. Zero for events
	// without a person (policy_enforcement, app_roles, opt-ins with a
	// user_ref).
	Asset, Person uint64
	Object        control.Object
	Kind          control.Kind
	// At is the element's timestamp, zero for none; EntryTime is entry.time.
	At, EntryTime control.Millis
	// Dedupe is equal for redeliveries of one event; see protocol 12.9.
	Dedupe [16]byte
	// Raw is the element as received.
	Raw []byte
	// Mid is the event's own message id: of a message, an echo or a postback.
	// Other kinds only talk about a message.
	Mid string
	// PayloadHash is control.PayloadHash of a postback's payload.
	PayloadHash uint64
	// Ref, Ad, FromAd, ReceivingApp, HasWindow and ReceivingDays come from a
	// referral: the element's own, its message's or its postback's.
	// ReceivingDays is -1 for anything that is not an integer of 1 to 30.
	Ref, Ad       string
	FromAd        bool
	ReceivingApp  control.AppID
	HasWindow     bool
	ReceivingDays int
	// EchoApp is an echo's app_id as it stands, the 14-digit inbox id too:
	// the rules have it written out for the apps. Zero for none.
	EchoApp control.AppID
	// Metadata is an echo's, or that of a control event of the platform.
	Metadata string
	// Questions are the control.PayloadHash values of the question ids that a
	// survey answer answers, ascending.
	Questions []uint64
	// PreviousOwner and NewOwner are those of a control event of the
	// platform, zero for null; NewOwner is also requested_owner_app_id.
	PreviousOwner, NewOwner control.AppID
}

// The objects that tell what an element is, in order of precedence.
const (
	bodyMessage = iota
	bodyPostback
	bodyReferral
	bodyOptin
	bodyDelivery
	bodyRead
	bodyReaction
	bodyEdit
	bodyFeedback
	bodyResponse
	bodyLinking
	bodyOrder
	bodyPolicy
	bodyPass
	bodyTake
	bodyRequest
	bodyRoles
	bodies
)

func bodyOf(key []byte) int {
	switch string(plain(key)) {
	case "message":
		return bodyMessage
	case "postback":
		return bodyPostback
	case "referral":
		return bodyReferral
	case "optin":
		return bodyOptin
	case "delivery":
		return bodyDelivery
	case "read":
		return bodyRead
	case "reaction":
		return bodyReaction
	case "message_edit":
		return bodyEdit
	case "messaging_feedback":
		return bodyFeedback
	case "response_feedback":
		return bodyResponse
	case "account_linking":
		return bodyLinking
	case "order":
		return bodyOrder
	case "policy_enforcement":
		return bodyPolicy
	case "pass_thread_control":
		return bodyPass
	case "take_thread_control":
		return bodyTake
	case "request_thread_control":
		return bodyRequest
	case "app_roles":
		return bodyRoles
	}
	return bodies
}

//nolint:gochecknoglobals // a constant table
var bodyKinds = [bodies]control.Kind{
	control.KindMessage, control.KindPostback, control.KindReferral, control.KindOptin, control.KindDelivery,
	control.KindRead, control.KindReaction, control.KindEdit, control.KindFeedback, control.KindResponseFeedback,
	control.KindAccountLinking, control.KindOrder, control.KindPolicy, control.KindPlatformPass,
	control.KindPlatformTake, control.KindPlatformRequest, control.KindPlatformRoles,
}

// elementReader reads the elements of one entry.
type elementReader struct {
	*parser
	asset uint64
	at    control.Millis
	// array and index say where the element stands, for errors.
	array string
	index int
}

func (r *elementReader) readArray(a array) {
	if absent(a.value.raw) {
		return
	}
	if a.value.raw[0] != '[' {
		r.fail(a.value.raw, "entry[%d].%s is not an array", r.entries, a.name)
		return
	}
	r.array, r.index = a.name, 0
	for value := range r.items(a.value) {
		if r.err != nil {
			return
		}
		switch {
		case value.raw[0] != '{':
			r.fail(value.raw, "%s is not an object", r.path(""))
		case len(r.events) >= r.limits.MaxEvents:
			r.fail(value.raw, "more than %d events", r.limits.MaxEvents)
		case a.name == nameChanges:
			r.change(value)
		default:
			r.element(value)
		}
		r.index++
	}
}

// change reads an element of changes; see Parse.
func (r *elementReader) change(change node) {
	var inner node
	for key, value := range r.members(change) {
		if is(key, "value") {
			inner = value
		}
	}
	for key := range r.members(inner) {
		if is(key, "recipient") || is(key, "sender") {
			r.element(inner)
			return
		}
	}
	e := Event{Asset: r.asset, Object: r.object, EntryTime: r.at, Raw: change.raw}
	e.Dedupe = bytesKey(e.Asset, e.Raw)
	r.events = append(r.events, e)
}

// parts are the values of an element that matter, as they stand.
type parts struct {
	sender, recipient, timestamp []byte
	bodies                       [bodies][]byte
}

func (r *elementReader) split(element node) (p parts) {
	for key, value := range r.members(element) {
		switch string(plain(key)) {
		case "sender":
			p.sender = value.raw
		case "recipient":
			p.recipient = value.raw
		case "timestamp":
			p.timestamp = value.raw
		default:
			if b := bodyOf(key); b < bodies {
				p.bodies[b] = value.raw
			}
		}
	}
	return p
}

// first is the element's kind of body with its value.
func (p *parts) first() (int, []byte) {
	for b, value := range p.bodies {
		if !absent(value) {
			return b, value
		}
	}
	return bodies, nil
}

func (r *elementReader) element(element node) {
	r.events = append(r.events, Event{Object: r.object, EntryTime: r.at, Raw: element.raw})
	e := &r.events[len(r.events)-1]
	p := r.split(element)
	body, value := p.first()
	if body < bodies {
		e.Kind = bodyKinds[body]
		r.body(e, body, value)
	}
	r.sides(e, &p, body == bodyMessage && isEcho(value))
	if !absent(p.timestamp) {
		at, ok := millis(p.timestamp)
		if !ok {
			r.fail(p.timestamp, "%s is not a time in milliseconds", r.path(".timestamp"))
		}
		e.At = at
	}
	e.Dedupe = dedupe(e)
}

// sides finds asset and person. What the asset itself said (echoes, and its
// reads and reactions where the platform reports them) has the person as
// recipient.
func (r *elementReader) sides(e *Event, p *parts, echo bool) {
	sender := r.party(p.sender, ".sender.id")
	recipient := r.party(p.recipient, ".recipient.id")
	if echo || sender != 0 && sender == r.asset {
		sender, recipient = recipient, sender
	}
	e.Asset, e.Person = r.asset, sender
	if e.Asset == 0 {
		e.Asset = recipient
	}
}

// party is the id of a sender or recipient; zero when it is absent or named by
// something else, as a user_ref.
func (r *elementReader) party(object []byte, path string) uint64 {
	var id []byte
	for key, value := range members(object) {
		if is(key, "id") {
			id = value
		}
	}
	if absent(id) {
		return 0
	}
	n, ok := decimalID(id)
	if !ok {
		r.badID(id, r.path(path))
	}
	return n
}

func (r *elementReader) path(field string) string {
	return fmt.Sprintf("entry[%d].%s[%d]%s", r.entries, r.array, r.index, field)
}

// app reads a party of a handover: null and absence are zero, the 14-digit inbox
// id is the inbox.
func (r *elementReader) app(value []byte, field string) control.AppID {
	n := r.number(value, field)
	if n == control.PageInboxShort {
		return control.PageInbox
	}
	return n
}

// number reads an app id as it stands; null and absence are zero.
func (r *elementReader) number(value []byte, field string) control.AppID {
	if absent(value) {
		return 0
	}
	n, ok := decimalID(value)
	if !ok {
		r.badID(value, r.path(field))
	}
	return control.AppID(n)
}

func dedupe(e *Event) [16]byte {
	ownMid := e.Kind == control.KindMessage || e.Kind == control.KindEcho || e.Kind == control.KindPostback
	if !ownMid || e.Mid == "" {
		return bytesKey(e.Asset, e.Raw)
	}
	var room [128]byte
	b := binary.BigEndian.AppendUint64(append(room[:0], 'm'), e.Asset)
	b = append(append(b, byte(e.Kind)), e.Mid...)
	return key(b)
}

// bytesKey is the key of events that have no id of their own.
func bytesKey(asset uint64, raw []byte) [16]byte {
	var room [512]byte
	b := binary.BigEndian.AppendUint64(append(room[:0], 'b'), asset)
	return key(append(b, raw...))
}

func key(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// days reads receiving_app_control_expiration.
func days(value []byte) int {
	d, _ := digits(value)
	n, err := strconv.Atoi(string(d))
	if err != nil || n < 1 || n > 30 {
		return -1
	}
	return n
}

// questions are the hashes of the question ids of a survey answer.
func questions(feedback []byte) []uint64 {
	var out []uint64
	for key, screens := range members(feedback) {
		if !is(key, "feedback_screens") {
			continue
		}
		for screen := range items(screens) {
			for key, asked := range members(screen) {
				if is(key, "questions") {
					out = appendQuestions(out, asked)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func appendQuestions(out []uint64, asked []byte) []uint64 {
	for id := range members(asked) {
		if hash := control.PayloadHash(text(id)); hash != 0 {
			out = append(out, hash)
		}
	}
	return out
}
