package eventlog

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/baton-router/baton/pkg/control"
)

// With little in flight a record has one entry, and then its header costs as
// much: it is written and read by hand as well.

// appendHeader appends the fields of GroupRecord but for its entries.
func appendHeader(dst []byte, r *Record) []byte {
	dst = appendVarint(dst, 1, uint64(MinReader))
	dst = appendVarint(dst, 2, uint64(r.Partition))
	dst = appendVarint(dst, 3, r.Epoch)
	dst = appendID(dst, 4, &r.Group)
	dst = appendVarint(dst, 5, protowire.EncodeBool(r.Claim))
	dst = appendText(dst, 6, r.Holder)
	dst = appendVarint(dst, 7, uint64(r.First))
	dst = appendVarint(dst, 8, uint64(r.DecidedAt))
	dst = appendVarint(dst, 9, r.RosterVersion)
	dst = appendVarint(dst, 10, r.Input)
	dst = appendID(dst, 11, &r.BatonID)
	if r.Prev != [HashSize]byte{} {
		dst = protowire.AppendTag(dst, 12, protowire.BytesType)
		dst = protowire.AppendBytes(dst, r.Prev[:])
	}
	return dst
}

func appendText(dst []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, field, protowire.BytesType), text(s))
}

// headerTypes are the wire types of the fields, as in entryTypes.
const headerTypes = 2<<(2*4) | 2<<(2*6) | 2<<(2*11) | 2<<(2*12)

// readHeader reads a header that this version has written; false for any other.
func readHeader(data []byte) (h Record, ok bool) {
	r := reader{rest: data}
	for r.next(headerTypes) {
		switch r.field {
		case 1:
			r.odd = r.varint(math.MaxUint32) > uint64(Version) || r.odd
		case 2:
			h.Partition = uint32(r.varint(math.MaxUint32))
		case 3:
			h.Epoch = r.varint(math.MaxUint64)
		case 4:
			h.Group = r.id()
		case 5:
			h.Claim = r.bool()
		case 6:
			h.Holder = r.text()
		case 7:
			h.First = control.Position(r.varint(math.MaxUint64))
		case 8:
			h.DecidedAt = r.millis()
		case 9:
			h.RosterVersion = r.varint(math.MaxUint64)
		case 10:
			h.Input = r.varint(math.MaxUint64)
		case 11:
			h.BatonID = r.id()
		case 12:
			h.Prev = r.hash()
		default:
			return h, false
		}
	}
	return h, !r.odd
}

func (r *reader) hash() (hash [HashSize]byte) {
	b := r.bytes()
	if len(b) != HashSize {
		r.odd = true
		return hash
	}
	return [HashSize]byte(b)
}
