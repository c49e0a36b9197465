package inbound

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/webhook"
)

// ErrDamaged is returned by Parse for bytes that are no Batch, or not as Seal left
// them.
var ErrDamaged = errors.New("inbound: batch is damaged")

// Event is a webhook event with the trace of the request that brought it, zero
// for none. Of what Append was given, only text that was not UTF-8 differs.
type Event struct {
	webhook.Event
	Trace [16]byte
}

// Parse appends the events of a Batch to dst. Raw aliases data, which must not
// change while the events are in use. The error is ErrDamaged, with dst as it was.
func Parse(dst []Event, data []byte) ([]Event, error) {
	events := dst
	for rest := data; len(rest) > 0; {
		field, kind, n := protowire.ConsumeTag(rest)
		var value []byte
		m := -1
		switch {
		case n < 0:
		case field == eventsField && kind == protowire.BytesType:
			value, m = protowire.ConsumeBytes(rest[n:])
		case field == receivedField && kind == protowire.VarintType:
			_, m = protowire.ConsumeVarint(rest[n:])
		case field == sumField && kind == protowire.Fixed32Type && len(rest) == sumSize:
			if sum, _ := protowire.ConsumeFixed32(rest[n:]); sum != sumOf(data) {
				return dst, fmt.Errorf("%w: its checksum differs", ErrDamaged)
			}
			return events, nil
		}
		if m < 0 {
			return parseSlowly(dst, data)
		}
		rest = rest[n+m:]
		if field != eventsField {
			continue
		}
		events = append(events, Event{})
		r := reader{rest: value}
		if r.event(&events[len(events)-1]); r.odd {
			return parseSlowly(dst, data)
		}
	}
	return events, nil
}

// sumOf is the checksum that a Batch must end with.
func sumOf(data []byte) uint32 { return crc32.Checksum(data[:len(data)-sumSize], castagnoli) }

// parseSlowly is Parse with the generated code.
func parseSlowly(dst []Event, data []byte) ([]Event, error) {
	var batch inboundv1.Batch
	if err := proto.Unmarshal(data, &batch); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if sum := batch.GetSum(); sum != 0 && (len(data) < sumSize || sum != sumOf(data)) {
		return dst, fmt.Errorf("%w: its checksum differs", ErrDamaged)
	}
	for _, m := range batch.GetEvents() {
		e := Event{Event: webhook.Event{
			Asset: m.GetAsset(), Person: m.GetPerson(), Kind: control.Kind(m.GetKind()), Object: control.Object(m.GetObject()),
			At: control.Millis(m.GetTimestampMs()), EntryTime: control.Millis(m.GetEntryTimeMs()), Raw: m.GetRaw(), Mid: m.GetMid(),
			PayloadHash: m.GetPayloadHash(), Ref: m.GetRef(), Ad: m.GetAd(), FromAd: m.GetFromAd(),
			ReceivingApp: control.AppID(m.GetReceivingApp()), HasWindow: m.GetHasWindow(), ReceivingDays: int(m.GetReceivingDays()),
			EchoApp: control.AppID(m.GetEchoApp()), Metadata: m.GetMetadata(), Questions: m.GetQuestions(),
			PreviousOwner: control.AppID(m.GetPreviousOwner()), NewOwner: control.AppID(m.GetNewOwner()),
		}}
		copy(e.Dedupe[:], m.GetDedupe())
		copy(e.Trace[:], m.GetTrace())
		dst = append(dst, e)
	}
	return dst, nil
}

// reader reads the fields of an event as Append writes them: once, ascending, of
// the known types. After the first thing that is otherwise, odd is set.
type reader struct {
	rest  []byte
	field protowire.Number
	kind  protowire.Type
	odd   bool
}

func (r *reader) event(e *Event) {
	for r.next() {
		switch r.field {
		case 1:
			e.Asset = r.fixed()
		case 2:
			e.Person = r.fixed()
		case 3:
			e.Kind = control.Kind(r.varint(math.MaxUint8))
		case 4:
			e.Object = control.Object(r.varint(math.MaxUint8))
		case 5:
			e.At = control.Millis(r.varint(math.MaxUint64))
		case 6:
			e.EntryTime = control.Millis(r.varint(math.MaxUint64))
		case 7:
			r.id(&e.Dedupe)
		case 8:
			e.Raw = r.bytes()
		case 9:
			e.Mid = r.text()
		case 10:
			e.PayloadHash = r.fixed()
		case 18:
			e.Metadata = r.text()
		case 22:
			r.id(&e.Trace)
		default:
			r.seldom(e)
		}
	}
}

// seldom reads the fields that few events have.
func (r *reader) seldom(e *Event) {
	switch r.field {
	case 11:
		e.Ref = r.text()
	case 12:
		e.Ad = r.text()
	case 13:
		e.FromAd = r.varint(1) == 1
	case 14:
		e.ReceivingApp = control.AppID(r.fixed())
	case 15:
		e.HasWindow = r.varint(1) == 1
	case 16:
		e.ReceivingDays = int(int32(r.varint(math.MaxUint64)))
	case 17:
		e.EchoApp = control.AppID(r.fixed())
	case 19:
		e.Questions = r.numbers()
	case 20:
		e.PreviousOwner = control.AppID(r.fixed())
	case 21:
		e.NewOwner = control.AppID(r.fixed())
	default:
		r.odd = true
	}
}

// next moves to the next field; false at the end.
func (r *reader) next() bool {
	if r.odd || len(r.rest) == 0 {
		return false
	}
	field, kind, n := protowire.ConsumeTag(r.rest)
	if n < 0 || field <= r.field {
		r.odd = true
		return false
	}
	r.rest, r.field, r.kind = r.rest[n:], field, kind
	return true
}

// took moves behind a value of n bytes, if it is of the wanted type.
func (r *reader) took(n int, kind protowire.Type) bool {
	if n < 0 || r.kind != kind {
		r.odd = true
		return false
	}
	r.rest = r.rest[n:]
	return true
}

func (r *reader) varint(limit uint64) uint64 {
	v, n := protowire.ConsumeVarint(r.rest)
	if !r.took(n, protowire.VarintType) || v > limit {
		r.odd = true
		return 0
	}
	return v
}

func (r *reader) fixed() uint64 {
	v, n := protowire.ConsumeFixed64(r.rest)
	if !r.took(n, protowire.Fixed64Type) {
		return 0
	}
	return v
}

func (r *reader) bytes() []byte {
	v, n := protowire.ConsumeBytes(r.rest)
	if !r.took(n, protowire.BytesType) {
		return nil
	}
	return v
}

func (r *reader) id(id *[16]byte) {
	v := r.bytes()
	if len(v) != len(id) {
		r.odd = true
		return
	}
	*id = [16]byte(v)
}

func (r *reader) text() string {
	v := r.bytes()
	if !utf8.Valid(v) {
		r.odd = true
	}
	return string(v)
}

func (r *reader) numbers() []uint64 {
	v := r.bytes()
	if len(v)%8 != 0 || len(v) == 0 {
		r.odd = true
		return nil
	}
	list := make([]uint64, 0, len(v)/8)
	for ; len(v) > 0; v = v[8:] {
		n, _ := protowire.ConsumeFixed64(v)
		list = append(list, n)
	}
	return list
}
