package eventlog

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// Nearly every event is a Routed or a change of owner, so they are written and
// read by hand, which halves the cost of the codec. What is written equals what the generated code writes, byte for
// byte. What is read by hand is only what is written so: fields once, ascending,
// of the known types. Anything else is left to the generated code, which
// decides whether it is a record.

const routedField protowire.Number = 24

// appendEntry appends e as an element of GroupRecord.entries.
func appendEntry(dst []byte, e *Entry) ([]byte, error) {
	dst = protowire.AppendTag(dst, entriesField, protowire.BytesType)
	dst, start := open(dst)
	dst = appendFixed(dst, 1, e.Thread.Asset)
	dst = appendFixed(dst, 2, e.Thread.Person)
	dst = appendID(dst, 3, &e.Cause)
	dst = appendID(dst, 4, &e.Trace)
	if routed, ok := e.Event.(control.Routed); ok {
		dst = appendRouted(dst, &routed)
		return closed(dst, start), nil
	}
	if change, ok := control.ChangeOf(e.Event); ok {
		return closed(appendChange(dst, changeField(e.Event), &change), start), nil
	}
	var m logv1.Entry
	eventToWire(&m, e.Event)
	dst, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, &m)
	return closed(dst, start), err
}

func appendRouted(dst []byte, e *control.Routed) []byte {
	dst = protowire.AppendTag(dst, routedField, protowire.BytesType)
	dst, start := open(dst)
	dst = appendVarint(dst, 1, e.Input.Sequence)
	dst = appendVarint(dst, 2, uint64(e.Input.Index))
	dst = appendVarint(dst, 3, uint64(e.Kind))
	dst = appendVarint(dst, 4, uint64(e.Audience))
	dst = appendFixed(dst, 5, uint64(e.Owner))
	dst = appendFixed(dst, 6, uint64(e.Creator))
	dst = appendVarint(dst, 7, uint64(e.Send))
	dst = appendFixed(dst, 8, uint64(e.Sender))
	dst = appendText(dst, 9, e.Metadata)
	dst = appendVarint(dst, 10, uint64(e.At))
	dst = appendVarint(dst, 11, uint64(e.UserAt))
	dst = appendVarint(dst, 12, uint64(e.ExpiresAt))
	dst = appendVarint(dst, 13, protowire.EncodeBool(e.ClearDone))
	dst = appendID(dst, 14, &e.Dedupe)
	dst = appendVarint(dst, 15, protowire.EncodeBool(e.WasHeld))
	dst = appendVarint(dst, 16, protowire.EncodeBool(e.SideReported))
	dst = appendVarint(dst, 17, protowire.EncodeBool(e.WantInbox))
	dst = appendVarint(dst, 18, uint64(e.WindowDays))
	return closed(dst, start)
}

// open leaves room for the length of what follows, closed fills it in.
func open(dst []byte) (opened []byte, start int) { return append(dst, 0), len(dst) + 1 }

func closed(dst []byte, start int) []byte {
	size := len(dst) - start
	if size < 0x80 {
		dst[start-1] = byte(size)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(length[:], uint64(size))
	dst = append(dst, length[1:n]...)
	copy(dst[start+n-1:], dst[start:start+size])
	copy(dst[start-1:], length[:n])
	return dst
}

func appendVarint(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), v)
}

func appendFixed(dst []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, field, protowire.Fixed64Type), v)
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), text(s))
}

func appendID(dst []byte, field protowire.Number, id *[16]byte) []byte {
	if *id == [16]byte{} {
		return dst
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), id[:])
}

// reader reads the fields of a message by hand. After the first thing that is
// not as written here, odd is set and the rest is zeros.
type reader struct {
	rest  []byte
	field protowire.Number
	odd   bool
}

// next moves to the next field; false at the end. The tag of a field up to 15 is
// one byte, that of any other two.
func (r *reader) next(kinds uint64) bool {
	if r.odd || len(r.rest) == 0 {
		return false
	}
	tag, size := uint64(r.rest[0]), 1
	if tag >= 0x80 {
		if len(r.rest) == 1 || r.rest[1] != 1 {
			r.odd = true
			return false
		}
		size = 2
	}
	field := protowire.Number(tag >> 3)
	if field <= r.field || kinds>>(2*field)&3 != tag&7 {
		r.odd = true
		return false
	}
	r.rest, r.field = r.rest[size:], field
	return true
}

func (r *reader) varint(limit uint64) uint64 {
	if len(r.rest) > 0 && r.rest[0] < 0x80 && uint64(r.rest[0]) <= limit {
		v := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return v
	}
	v, n := protowire.ConsumeVarint(r.rest)
	if n < 0 || v > limit {
		r.odd, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bool() bool             { return r.varint(1) == 1 }
func (r *reader) small() uint8           { return uint8(r.varint(math.MaxUint8)) }
func (r *reader) millis() control.Millis { return control.Millis(r.varint(math.MaxUint64)) }

func (r *reader) fixed() uint64 {
	if len(r.rest) < 8 {
		r.odd, r.rest = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *reader) bytes() []byte {
	size := r.varint(math.MaxInt32)
	if size > uint64(len(r.rest)) {
		r.odd, r.rest = true, nil
		return nil
	}
	b := r.rest[:size]
	r.rest = r.rest[size:]
	return b
}

func (r *reader) id() (id [16]byte) {
	b := r.bytes()
	if len(b) != len(id) {
		r.odd = true
		return id
	}
	return [16]byte(b)
}

func (r *reader) text() string {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.odd = true
	}
	return string(b)
}

// The wire types of the fields read by hand, two bits each by number: varint 0,
// fixed64 1, bytes 2. A number without a type would read as varint 0, and is
// refused by the switch.
const (
	entryTypes   = 1<<(2*1) | 1<<(2*2) | 2<<(2*3) | 2<<(2*4) | 2<<(2*routedField) | changesTypes
	changesTypes = 2<<(2*10) | 2<<(2*11) | 2<<(2*12) | 2<<(2*13) | 2<<(2*14) | 2<<(2*15) | 2<<(2*16) | 2<<(2*17)
	routedTypes  = 1<<(2*5) | 1<<(2*6) | 1<<(2*8) | 2<<(2*9) | 2<<(2*14)
)

// readEntry reads an entry with a Routed or a change of owner into e, which is
// zero; false for anything else, and e is not an entry then.
func readEntry(e *Entry, data []byte) bool {
	r := reader{rest: data}
	for r.next(entryTypes) {
		switch r.field {
		case 1:
			e.Thread.Asset = r.fixed()
		case 2:
			e.Thread.Person = r.fixed()
		case 3:
			e.Cause = r.id()
		case 4:
			e.Trace = r.id()
		case routedField:
			var routed control.Routed
			if !readRouted(&routed, r.bytes()) {
				return false
			}
			e.Event = routed
		case 10, 11, 12, 13, 14, 15, 16, 17:
			field := r.field
			change, ok := readChange(r.bytes())
			if !ok {
				return false
			}
			e.Event = changed(change, field)
		default:
			return false
		}
	}
	return !r.odd && e.Event != nil
}

func readRouted(e *control.Routed, data []byte) bool {
	r := reader{rest: data}
	for r.next(routedTypes) {
		switch r.field {
		case 1:
			e.Input.Sequence = r.varint(math.MaxUint64)
		case 2:
			e.Input.Index = uint32(r.varint(math.MaxUint32))
		case 3:
			e.Kind = control.Kind(r.small())
		case 4:
			e.Audience = control.Audience(r.small())
		case 5:
			e.Owner = control.AppID(r.fixed())
		case 6:
			e.Creator = control.AppID(r.fixed())
		case 7:
			e.Send = control.Position(r.varint(math.MaxUint64))
		case 8:
			e.Sender = control.AppID(r.fixed())
		case 9:
			e.Metadata = r.text()
		case 10:
			e.At = r.millis()
		case 11:
			e.UserAt = r.millis()
		case 12:
			e.ExpiresAt = r.millis()
		case 13:
			e.ClearDone = r.bool()
		case 14:
			e.Dedupe = r.id()
		case 15:
			e.WasHeld = r.bool()
		case 16:
			e.SideReported = r.bool()
		case 17:
			e.WantInbox = r.bool()
		case 18:
			e.WindowDays = r.small()
		default:
			return false
		}
	}
	return !r.odd
}
