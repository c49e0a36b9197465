package webhook

import (
	"strconv"

	"github.com/baton-router/baton/pkg/control"
)

// HandoverVerb is the kind of a handover event that Baton writes.
type HandoverVerb uint8

// The handover events.
const (
	HandoverPass HandoverVerb = iota + 1
	HandoverTake
	HandoverRequest
	HandoverMetadata
	HandoverRoles
)

// Handover is an event about control that Baton makes. Source: protocol 5.
type Handover struct {
	Verb          HandoverVerb
	Asset, Person uint64
	At            control.Millis
	// Previous and New are the owners before and after; zero is written as
	// null. HandoverRequest uses New alone, for the app that asks;
	// HandoverMetadata uses Previous alone, for the app that sends;
	// HandoverRoles uses New alone, for the app whose role changed.
	Previous, New control.AppID
	// Metadata is left out when empty.
	Metadata string
	// Role is primary_receiver or secondary_receiver (HandoverRoles).
	Role string
	// NumericIDs writes app ids as numbers instead of strings.
	NumericIDs bool
}

// AppendHandover appends the messaging element of h in the platform's form.
func AppendHandover(dst []byte, h Handover) []byte {
	w := objectWriter{dst: dst}
	w.open()
	if h.Verb != HandoverRoles { // the only one without a sender
		w.party("sender", h.Person)
	}
	w.party("recipient", h.Asset)
	w.name("timestamp")
	w.dst = strconv.AppendInt(w.dst, int64(h.At), 10)
	switch h.Verb {
	case HandoverPass:
		w.name("pass_thread_control")
	case HandoverTake:
		w.name("take_thread_control")
	case HandoverRequest:
		w.name("request_thread_control")
	case HandoverMetadata:
		w.name("pass_thread_metadata")
	case HandoverRoles:
		w.name("app_roles")
	}
	w.dst = appendHandoverBody(w.dst, h)
	return w.close()
}

func appendHandoverBody(dst []byte, h Handover) []byte {
	w := objectWriter{dst: dst}
	w.open()
	switch h.Verb {
	case HandoverPass, HandoverTake:
		w.app("previous_owner_app_id", h.Previous, h.NumericIDs)
		w.app("new_owner_app_id", h.New, h.NumericIDs)
	case HandoverRequest:
		w.app("requested_owner_app_id", h.New, h.NumericIDs)
	case HandoverMetadata:
		w.app("sender_app_id", h.Previous, h.NumericIDs)
	case HandoverRoles:
		w.name(strconv.FormatUint(uint64(h.New), 10))
		w.dst = append(appendString(append(w.dst, '['), h.Role), ']')
	}
	if h.Metadata != "" && h.Verb != HandoverRoles {
		w.name("metadata")
		w.dst = appendString(w.dst, h.Metadata)
	}
	return w.close()
}

func (w *objectWriter) party(name string, id uint64) {
	w.name(name)
	w.dst = append(w.dst, `{"id":`...)
	w.dst = append(appendID(w.dst, id), '}')
}

func (w *objectWriter) app(name string, id control.AppID, number bool) {
	w.name(name)
	switch {
	case id == 0:
		w.dst = append(w.dst, "null"...)
	case number:
		w.dst = strconv.AppendUint(w.dst, uint64(id), 10)
	default:
		w.dst = appendID(w.dst, uint64(id))
	}
}

func appendID(dst []byte, id uint64) []byte {
	return append(strconv.AppendUint(append(dst, '"'), id, 10), '"')
}

// Entry is one entry of a body that Baton sends: one element of one thread.
type Entry struct {
	Asset uint64
	// Time is the time of the decision; it stays the same on retries.
	Time control.Millis
	// Element is an element as AppendElement or AppendHandover wrote it.
	Element []byte
}

// AppendBody appends a whole webhook body: one event per entry, one channel per
// body, because widely used clients read only the first element of an entry and
// judge a POST by its first entry. emptyMessaging adds an empty messaging array
// beside standby, for clients that read it unasked.
func AppendBody(dst []byte, o control.Object, ch control.Channel, emptyMessaging bool, entries []Entry) []byte {
	dst = append(dst, `{"object":"`...)
	dst = append(append(dst, o.String()...), `","entry":[`...)
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEntry(dst, e, ch, emptyMessaging && ch == control.ChannelStandby)
	}
	return append(dst, "]}"...)
}

func appendEntry(dst []byte, e Entry, ch control.Channel, emptyMessaging bool) []byte {
	w := objectWriter{dst: dst}
	w.open()
	w.name("id")
	w.dst = appendID(w.dst, e.Asset)
	w.name("time")
	w.dst = strconv.AppendInt(w.dst, int64(e.Time), 10)
	if emptyMessaging {
		w.name("messaging")
		w.dst = append(w.dst, "[]"...)
	}
	w.name(ch.String())
	w.dst = append(append(append(w.dst, '['), e.Element...), ']')
	return w.close()
}
