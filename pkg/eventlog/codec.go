package eventlog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// The errors of Decode.
var (
	// ErrNewerVersion: the record needs a newer build to be read. Nothing is
	// wrong with the record.
	ErrNewerVersion = errors.New("eventlog: record was written by a newer version")
	// ErrDamaged: the bytes are not a record as Encode wrote it.
	ErrDamaged = errors.New("eventlog: record is damaged")
)

// frameSize is what surrounds the protobuf: the version byte and the hash.
const frameSize = 1 + HashSize

// entriesField is the number of GroupRecord.entries.
const entriesField protowire.Number = 13

// Encode is Append into a buffer of its own.
func Encode(r *Record) []byte { return Append(nil, r) }

// Append appends r as it is stored and published to dst, and returns the
// extended buffer: the version byte, the protobuf, and the SHA-256 over both.
// It fills r.Hash in. Text that is not UTF-8 is made so.
//
// It checks no bound: the holder cuts its records by MaxEvents and MaxBytes,
// see SizeOf.
func Append(dst []byte, r *Record) []byte {
	start := len(dst)
	dst = append(dst, Version)
	dst = appendHeader(dst, r)
	var err error
	for i := range r.Entries {
		if err == nil {
			dst, err = appendEntry(dst, &r.Entries[i])
		}
	}
	if err != nil {
		// The messages are built here out of valid text: they always encode.
		panic(fmt.Sprintf("eventlog: encode record of partition %d at %d: %v", r.Partition, r.First, err)) //nolint:forbidigo // a broken invariant
	}
	r.Hash = sha256.Sum256(dst[start:])
	return append(dst, r.Hash[:]...)
}

// Decode reads a record as Encode wrote it. The record shares no memory with
// data. The error is ErrNewerVersion or ErrDamaged, with what was found.
func Decode(data []byte) (r Record, err error) {
	if err := DecodeInto(&r, data); err != nil {
		return Record{}, err
	}
	return r, nil
}

// DecodeInto is Decode into r, whose entries' memory is used again: for a reader
// that keeps no record. After an error r is not a record.
func DecodeInto(r *Record, data []byte) error {
	v, err := Look(data)
	if err != nil {
		return err
	}
	entries := slices.Grow(r.Entries[:0], v.parts.count)
	for rest := v.parts.rest; len(rest) > 0; {
		var value []byte
		if value, rest, err = nextEntry(rest); err != nil {
			return err
		}
		if value == nil {
			continue
		}
		entries = append(entries, Entry{})
		if err := decodeEntry(&entries[len(entries)-1], value, v.version); err != nil {
			return fmt.Errorf("position %d: %w", v.head.First+control.Position(len(entries)-1), err)
		}
	}
	*r = v.head
	r.Entries = entries
	return nil
}

// View is an encoded record of which entries are read one by one: for one of
// many, a fraction of the cost of Decode. It refers to the encoded bytes.
type View struct {
	head    Record
	parts   layout
	version byte
}

// Look checks an encoded record as Decode does, but for its entries. data must
// not change while the View is used. The error is that of Decode.
func Look(data []byte) (View, error) {
	body, err := unframe(data)
	if err != nil {
		return View{}, err
	}
	v := View{version: data[0]}
	if v.parts, err = layOut(body); err != nil {
		return View{}, err
	}
	if v.head, err = decodeHeader(v.parts.header); err != nil {
		return View{}, err
	}
	v.head.Hash = [HashSize]byte(data[len(data)-HashSize:])
	return v, nil
}

// First is the position of the record's first entry; see Record.First.
func (v *View) First() control.Position { return v.head.First }

// Last is the position of the record's last entry; see Record.Last.
func (v *View) Last() control.Position {
	return v.head.First + control.Position(v.parts.count) - 1
}

// Epoch is that of the holder that wrote the record; see Record.Epoch.
func (v *View) Epoch() uint64 { return v.head.Epoch }

// DecidedAt is the partition time of the record.
func (v *View) DecidedAt() control.Millis { return v.head.DecidedAt }

// At reads the entry at position p; false when the record does not hold it. The
// error is that of Decode.
func (v *View) At(p control.Position) (Entry, bool, error) {
	if p < v.First() || p > v.Last() {
		return Entry{}, false, nil
	}
	at := v.First()
	for rest := v.parts.rest; len(rest) > 0; {
		value, after, err := nextEntry(rest)
		if err != nil {
			return Entry{}, false, err
		}
		rest = after
		if value == nil {
			continue
		}
		if at == p {
			var e Entry
			if err := decodeEntry(&e, value, v.version); err != nil {
				return Entry{}, false, err
			}
			return e, true, nil
		}
		at++
	}
	return Entry{}, false, nil
}

// unframe checks the hash and returns the protobuf between frame bytes. The
// frame is the same in every version, so a hash that does not match is damage
// whatever the version byte says.
func unframe(data []byte) ([]byte, error) {
	if len(data) < frameSize {
		return nil, fmt.Errorf("%w: %d bytes are too few", ErrDamaged, len(data))
	}
	signed, hash := data[:len(data)-HashSize], data[len(data)-HashSize:]
	if sum := sha256.Sum256(signed); string(sum[:]) != string(hash) {
		return nil, fmt.Errorf("%w: hash does not match", ErrDamaged)
	}
	if data[0] == 0 {
		return nil, fmt.Errorf("%w: version 0", ErrDamaged)
	}
	return signed[1:], nil
}

// layout is a GroupRecord taken apart: the fields that are no entries, and from
// the first entry on, of which there are count.
type layout struct {
	header []byte
	rest   []byte
	count  int
}

// layOut finds the parts of a GroupRecord and counts the entries, which bounds
// what decoding may allocate.
func layOut(body []byte) (layout, error) {
	l := layout{header: body}
	for at := 0; at < len(body); {
		number, _, size := protowire.ConsumeField(body[at:])
		if size < 0 {
			return layout{}, fmt.Errorf("%w: %w", ErrDamaged, protowire.ParseError(size))
		}
		switch {
		case number == entriesField && l.count == 0:
			l.header, l.rest = body[:at:at], body[at:]
		case number != entriesField && l.count > 0: // of a newer version
			l.header = append(l.header, body[at:at+size]...)
		}
		if number == entriesField {
			l.count++
		}
		at += size
	}
	if l.count > MaxEvents {
		return layout{}, fmt.Errorf("%w: %d events, at most %d", ErrDamaged, l.count, MaxEvents)
	}
	return l, nil
}

// nextEntry takes a field off the front of what layOut found: value is nil when
// it is no entry.
func nextEntry(fields []byte) (value, rest []byte, err error) {
	number, kind, n := protowire.ConsumeTag(fields)
	size := protowire.ConsumeFieldValue(number, kind, fields[n:])
	value, rest = fields[n:n+size], fields[n+size:]
	if number != entriesField {
		return nil, rest, nil
	}
	entry, n := protowire.ConsumeBytes(value)
	if n < 0 || kind != protowire.BytesType {
		return nil, nil, fmt.Errorf("%w: events of wire type %d", ErrDamaged, kind)
	}
	if entry == nil {
		entry = []byte{}
	}
	return entry, rest, nil
}

// decodeEntry reads an entry into e, which is zero: by hand if it is as written by
// hand, else by the generated code. After an error e is not an entry.
func decodeEntry(e *Entry, data []byte, version byte) error {
	if readEntry(e, data) {
		return nil
	}
	var m logv1.Entry
	if err := proto.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	var err error
	*e, err = entryFromWire(&m, version)
	return err
}

func entryFromWire(m *logv1.Entry, version byte) (Entry, error) {
	var bad fault
	e := Entry{
		Thread: control.ThreadKey{Asset: m.GetAsset(), Person: m.GetPerson()}, Cause: bad.id(m.GetCause()),
		Trace: bad.id(m.GetTrace()), Event: bad.event(m),
	}
	switch {
	case bad.text != "":
		return Entry{}, fmt.Errorf("%w: %s", ErrDamaged, bad.text)
	case e.Event != nil:
		return e, nil
	case version > Version:
		return Entry{}, fmt.Errorf("%w: it is of version %d, with an event that this one, %d, does not know", ErrNewerVersion, version, Version)
	default:
		return Entry{}, fmt.Errorf("%w: no event", ErrDamaged)
	}
}
