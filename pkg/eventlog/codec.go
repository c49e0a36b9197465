package eventlog

import (
	"crypto/sha256"
	"errors"
	"fmt"

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
	dst, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, headerToWire(r))
	for i := range r.Entries {
		if err == nil {
			dst, err = appendEntry(dst, &r.Entries[i])
		}
	}
	if err != nil {
		// The messages are built here out of valid text: they always encode.
		panic(fmt.Sprintf("eventlog: encode record of partition %d at %d: %v", r.Partition, r.First, err))
	}
	r.Hash = sha256.Sum256(dst[start:])
	return append(dst, r.Hash[:]...)
}

// Decode reads a record as Encode wrote it. The record shares no memory with
// data. The error is ErrNewerVersion or ErrDamaged, with what was found.
func Decode(data []byte) (Record, error) {
	body, err := unframe(data)
	if err != nil {
		return Record{}, err
	}
	l, err := layOut(body)
	if err != nil {
		return Record{}, err
	}
	var m logv1.GroupRecord
	if err := proto.Unmarshal(l.header, &m); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r, err := headerFromWire(&m)
	if err != nil {
		return Record{}, err
	}
	if err := l.entries(&r, data[0]); err != nil {
		return Record{}, err
	}
	r.Hash = [HashSize]byte(data[len(data)-HashSize:])
	return r, nil
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

// entries reads the entries into r.
func (l *layout) entries(r *Record, version byte) error {
	if l.count == 0 {
		return nil
	}
	r.Entries = make([]Entry, 0, l.count)
	for rest := l.rest; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		size := protowire.ConsumeFieldValue(number, kind, rest[n:])
		value := rest[n : n+size]
		rest = rest[n+size:]
		if number != entriesField {
			continue
		}
		data, n := protowire.ConsumeBytes(value)
		if n < 0 || kind != protowire.BytesType {
			return fmt.Errorf("%w: events of wire type %d", ErrDamaged, kind)
		}
		e, err := decodeEntry(data, version)
		if err != nil {
			return fmt.Errorf("position %d: %w", r.First+control.Position(len(r.Entries)), err)
		}
		r.Entries = append(r.Entries, e)
	}
	return nil
}

// decodeEntry reads an entry: by hand if it is as written by hand, else by the
// generated code.
func decodeEntry(data []byte, version byte) (Entry, error) {
	var e Entry
	if readEntry(&e, data) {
		return e, nil
	}
	var m logv1.Entry
	if err := proto.Unmarshal(data, &m); err != nil {
		return Entry{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return entryFromWire(&m, version)
}

func headerToWire(r *Record) *logv1.GroupRecord {
	m := &logv1.GroupRecord{
		MinReader: MinReader, Partition: r.Partition, Epoch: r.Epoch, Group: idToWire(r.Group), Claim: r.Claim,
		Holder: text(r.Holder), First: uint64(r.First), DecidedAtMs: int64(r.DecidedAt), RosterVersion: r.RosterVersion,
		Input: r.Input, BatonId: idToWire(r.BatonID),
	}
	if r.Prev != [HashSize]byte{} {
		m.Prev = r.Prev[:]
	}
	return m
}

func headerFromWire(m *logv1.GroupRecord) (Record, error) {
	if m.GetMinReader() > Version {
		return Record{}, fmt.Errorf("%w: it needs a reader of version %d, this is %d", ErrNewerVersion, m.GetMinReader(), Version)
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
		return Entry{}, fmt.Errorf("%w: version %d, with an event this build does not know", ErrNewerVersion, version)
	default:
		return Entry{}, fmt.Errorf("%w: no event", ErrDamaged)
	}
}
