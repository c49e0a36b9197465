package eventlog

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// A record of a single event, as all are without load, is mostly header: it is
// written and read by hand as entries are.

// appendHeader appends the fields of a GroupRecord that are no entries.
func appendHeader(dst []byte, r *Record) []byte {
	dst = appendVarint(dst, 1, MinReader)
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

// headerTypes are the wire types of those fields; see entryTypes.
const headerTypes = 2<<(2*4) | 2<<(2*6) | 2<<(2*11) | 2<<(2*12)

// decodeHeader reads the header of a record: by hand if it is as written by hand,
// else by the generated code.
func decodeHeader(data []byte) (Record, error) {
	var r Record
	if readHeader(&r, data) {
		return r, nil
	}
	var m logv1.GroupRecord
	if err := proto.Unmarshal(data, &m); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return headerFromWire(&m)
}

// readHeader reads a header that this version may read; false for anything else.
func readHeader(h *Record, data []byte) bool {
	r := reader{rest: data}
	for r.next(headerTypes) {
		switch r.field {
		case 1:
			r.varint(Version)
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
			return false
		}
	}
	return !r.odd
}

func (r *reader) hash() (hash [HashSize]byte) {
	b := r.bytes()
	if len(b) != len(hash) {
		r.odd = true
		return hash
	}
	return [HashSize]byte(b)
}

func headerFromWire(m *logv1.GroupRecord) (Record, error) {
	if m.GetMinReader() > Version {
		return Record{}, fmt.Errorf("%w: partition %d, position %d: it needs a reader of version %d, this is %d",
			ErrNewerVersion, m.GetPartition(), m.GetFirst(), m.GetMinReader(), Version)
	}
	var bad fault
	r := Record{
		Partition: m.GetPartition(), Epoch: m.GetEpoch(), Group: bad.id(m.GetGroup()), Claim: m.GetClaim(),
		Holder: m.GetHolder(), First: control.Position(m.GetFirst()), DecidedAt: control.Millis(m.GetDecidedAtMs()),
		RosterVersion: m.GetRosterVersion(), Input: m.GetInput(), BatonID: bad.id(m.GetBatonId()), Prev: bad.hash(m.GetPrev()),
	}
	if bad.text != "" {
		return Record{}, fmt.Errorf("%w: %s", ErrDamaged, bad.text)
	}
	return r, nil
}
