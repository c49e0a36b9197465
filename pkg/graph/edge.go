package graph

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxMetadata is how many characters a handover's metadata may have.
const MaxMetadata = 2000

// DefaultExtension is the duration, in seconds, of an extension that names
// none.
const DefaultExtension = 24 * 60 * 60

// Pass is pass_thread_control.
type Pass struct {
	Recipient uint64
	// Target is zero when absent.
	Target   uint64
	Metadata string
}

// Take is take_thread_control.
type Take struct {
	Recipient uint64
	Metadata  string
}

// Request is request_thread_control.
type Request struct {
	Recipient uint64
	Metadata  string
}

// Release is release_thread_control.
type Release struct {
	Recipient uint64
	Metadata  string
}

// Extend is extend_thread_control. Seconds is as given, DefaultExtension when
// absent; its range is the rules' to check.
type Extend struct {
	Recipient uint64
	Seconds   int64
}

// PassMetadata is pass_thread_metadata.
type PassMetadata struct {
	Recipient, Target uint64
	Metadata          string
}

// OwnerQuery is thread_owner.
type OwnerQuery struct{ Recipient uint64 }

// ReceiversQuery is secondary_receivers. Fields defaults to id and name.
type ReceiversQuery struct {
	Fields   []string
	Platform string
}

// DecodePass reads pass_thread_control. Like all Decode functions of edges it
// returns an *Error: 100 for a missing recipient, 100/2018001 for a malformed
// one, 100/2018164 for a malformed target, 100 for metadata that is too long.
func DecodePass(p Params) (Pass, error) {
	d := edge{params: p}
	call := Pass{Recipient: d.person(), Target: d.app("target_app_id"), Metadata: d.metadata()}
	return call, d.fault()
}

// DecodeTake reads take_thread_control.
func DecodeTake(p Params) (Take, error) {
	d := edge{params: p}
	call := Take{Recipient: d.person(), Metadata: d.metadata()}
	return call, d.fault()
}

// DecodeRequest reads request_thread_control.
func DecodeRequest(p Params) (Request, error) {
	d := edge{params: p}
	call := Request{Recipient: d.person(), Metadata: d.metadata()}
	return call, d.fault()
}

// DecodeRelease reads release_thread_control.
func DecodeRelease(p Params) (Release, error) {
	d := edge{params: p}
	call := Release{Recipient: d.person(), Metadata: d.metadata()}
	return call, d.fault()
}

// DecodeExtend reads extend_thread_control; a duration that is no integer is
// code 100.
func DecodeExtend(p Params) (Extend, error) {
	d := edge{params: p}
	call := Extend{Recipient: d.person(), Seconds: d.seconds()}
	return call, d.fault()
}

// DecodePassMetadata reads pass_thread_metadata, of which target and metadata
// are required.
func DecodePassMetadata(p Params) (PassMetadata, error) {
	d := edge{params: p}
	call := PassMetadata{Recipient: d.person(), Target: d.app("target_app_id"), Metadata: d.metadata()}
	if call.Target == 0 {
		d.fail(MissingParameter("target_app_id"))
	}
	if !p.Has("metadata") {
		d.fail(MissingParameter("metadata"))
	}
	return call, d.fault()
}

// DecodeOwnerQuery reads thread_owner, whose recipient is a plain id; the
// object of the other edges is accepted too.
func DecodeOwnerQuery(p Params) (OwnerQuery, error) {
	d := edge{params: p}
	call := OwnerQuery{Recipient: d.person()}
	return call, d.fault()
}

// DecodeReceiversQuery reads secondary_receivers. It never fails.
func DecodeReceiversQuery(p Params) ReceiversQuery {
	q := ReceiversQuery{Fields: p.List("fields"), Platform: strings.ToLower(p.Text("platform"))}
	if len(q.Fields) == 0 {
		q.Fields = []string{"id", "name"}
	}
	return q
}

// edge reads the parameters of an edge and keeps the first fault.
type edge struct {
	params Params
	err    *Error
}

func (d *edge) fail(e *Error) {
	if d.err == nil {
		d.err = e
	}
}

func (d *edge) fault() error {
	if d.err == nil {
		return nil
	}
	return d.err
}

// person is the recipient, who must be named by an id.
func (d *edge) person() uint64 {
	r, err := decodeRecipient(d.params)
	switch {
	case err != nil:
		d.fail(err)
	case r.ID == 0:
		d.fail(NoUser())
	}
	return r.ID
}

// app is an optional app id, as a number or as a string.
func (d *edge) app(name string) uint64 {
	text := strings.TrimSpace(d.params.Text(name))
	if text == "" {
		return 0
	}
	id, ok := parseID(text)
	if !ok {
		d.fail(IncorrectApp())
	}
	return id
}

func (d *edge) metadata() string {
	metadata := d.params.Text("metadata")
	if utf8.RuneCountInString(metadata) > MaxMetadata {
		d.fail(InvalidParameter(fmt.Sprintf("Length of param metadata must be less than or equal to %d", MaxMetadata)))
		return ""
	}
	return metadata
}

func (d *edge) seconds() int64 {
	text := strings.TrimSpace(d.params.Text("duration"))
	if text == "" && !d.params.Has("duration") {
		return DefaultExtension
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		d.fail(InvalidParameter("Param duration must be an integer of 1 to 604800 seconds"))
	}
	return seconds
}

// Recipient is who a call is about. ID is zero when another key names them.
type Recipient struct {
	ID uint64
	// UserRef, CommentID, PostID, PhoneNumber and Token are the other keys,
	// which only sends accept.
	UserRef, CommentID, PostID, PhoneNumber, Token string
	// Raw is the object as JSON, to be handed on.
	Raw []byte
}

// Key is what names the recipient, "id" included; "" for nothing.
func (r Recipient) Key() string {
	switch {
	case r.ID != 0:
		return "id"
	case r.UserRef != "":
		return "user_ref"
	case r.CommentID != "":
		return "comment_id"
	case r.PostID != "":
		return "post_id"
	case r.PhoneNumber != "":
		return "phone_number"
	case r.Token != "":
		return "notification_messages_token"
	}
	return ""
}

// decodeRecipient reads the parameter recipient: an object, or a plain id.
func decodeRecipient(p Params) (Recipient, *Error) {
	if !isObject(p.values["recipient"].json) {
		text := strings.TrimSpace(p.Text("recipient"))
		if text == "" {
			return Recipient{}, MissingParameter("recipient")
		}
		if !strings.HasPrefix(text, "{") {
			return plainRecipient(text)
		}
	}
	raw, _, err := p.JSON("recipient")
	if err != nil {
		return Recipient{}, AsError(err)
	}
	r := Recipient{Raw: raw}
	for m := range members(raw) {
		if err := r.read(m); err != nil {
			return Recipient{}, err
		}
	}
	return r, nil
}

func plainRecipient(text string) (Recipient, *Error) {
	id, ok := parseID(strings.Trim(text, `"`))
	if !ok {
		return Recipient{}, NoUser()
	}
	return Recipient{ID: id, Raw: marshal(map[string]string{"id": strconv.FormatUint(id, 10)})}, nil
}

func (r *Recipient) read(m member) *Error {
	text := scalar(m.value)
	switch m.key {
	case "id":
		if isNull(m.value) {
			return nil
		}
		id, ok := parseID(text)
		if !ok {
			return NoUser()
		}
		r.ID = id
	case "user_ref":
		r.UserRef = text
	case "comment_id":
		r.CommentID = text
	case "post_id":
		r.PostID = text
	case "phone_number":
		r.PhoneNumber = text
	case "notification_messages_token", "one_time_notif_token":
		r.Token = text
	}
	return nil
}
