package streamindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/minio/highwayhash"
)

// The format of a block: records one after the other, of each the length, the
// sequence, the time, the length of the subject, the subject, with the header
// bit the header's length and the header, the message, and a checksum; numbers
// are little-endian. Source: nats-server, filestore.go, writeMsgRecordLocked.
const (
	headSize    = 4 + 8 + 8 + 2
	leastRecord = headSize + sumSize
	mostRecord  = 32 << 20

	headerBit = 1 << 31 // of the length
	erasedBit = 1 << 63 // of the sequence: the message was overwritten
	buriedBit = 1 << 62 // of the sequence: the record says that the message is deleted
)

// record is a record of a block; its slices alias the block.
type record struct {
	raw             []byte
	sequence        uint64 // without bits
	at              int64
	buries, erased  bool
	subject, header []byte
	rest            []byte // of what is summed up: header and message
}

func (r *record) sum() []byte { return r.raw[len(r.raw)-sumSize:] }

// readRecord reads the record at the beginning of b; false when there is none
// that is whole.
func readRecord(b []byte) (r record, ok bool) {
	if len(b) < leastRecord {
		return r, false
	}
	length := binary.LittleEndian.Uint32(b)
	size := int(length &^ headerBit)
	if size < leastRecord || size > mostRecord || size > len(b) {
		return r, false
	}
	r.raw = b[:size:size]
	sequence := binary.LittleEndian.Uint64(b[4:])
	r.buries, r.erased = sequence&buriedBit != 0, sequence&erasedBit != 0
	r.sequence, r.at = sequence&^(buriedBit|erasedBit), int64(binary.LittleEndian.Uint64(b[12:]))
	body := r.raw[headSize : size-sumSize]
	subject := int(binary.LittleEndian.Uint16(b[20:]))
	if subject > len(body) {
		return r, false
	}
	r.subject, body = body[:subject], body[subject:]
	if r.rest = body; length&headerBit == 0 {
		return r, true
	}
	if len(body) < 4 {
		return r, false
	}
	header := binary.LittleEndian.Uint32(body)
	if r.rest = body[4:]; uint64(header) > uint64(len(r.rest)) {
		return r, false
	}
	r.header = r.rest[:header]
	return r, true
}

// summer checks the records of a block.
type summer struct{ hash.Hash64 }

func newSummer(stream string, number uint32) summer {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, number))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) //nolint:forbidigo // the key has the right size
	}
	return summer{h}
}

// fits reports whether a record is as it was written.
func (s summer) fits(r *record) bool {
	s.Reset()
	_, _ = s.Write(r.raw[4:20])
	_, _ = s.Write(r.subject)
	_, _ = s.Write(r.rest)
	var sum [sumSize]byte
	return bytes.Equal(s.Sum(sum[:0]), r.sum())
}

// hasHeader reports whether the header has a line with that name.
func (r *record) hasHeader(name string) bool {
	return len(r.header) > 0 && bytes.Contains(r.header, []byte("\r\n"+name+":"))
}

// firstOf reads what the head of a record says of its sequence.
func firstOf(head []byte) record {
	sequence := binary.LittleEndian.Uint64(head[4:])
	return record{sequence: sequence &^ (buriedBit | erasedBit), buries: sequence&buriedBit != 0}
}
