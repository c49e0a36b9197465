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
	dst, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, recordToWire(r))
	if err != nil {
		// The message is built here out of valid text: it always encodes.
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
	if err := checkCount(body); err != nil {
		return Record{}, err
	}
	var m logv1.GroupRecord
	if err := proto.Unmarshal(body, &m); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r, err := recordFromWire(&m, data[0])
	if err != nil {
		return Record{}, err
	}
	copy(r.Hash[:], data[len(data)-HashSize:])
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

// checkCount bounds what decoding may allocate: at most MaxEvents entries.
func checkCount(body []byte) error {
	count := 0
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrDamaged, protowire.ParseError(n))
		}
		body = body[n:]
		if n = protowire.ConsumeFieldValue(number, kind, body); n < 0 {
			return fmt.Errorf("%w: %w", ErrDamaged, protowire.ParseError(n))
		}
		body = body[n:]
		if number == entriesField {
			count++
		}
	}
	if count > MaxEvents {
		return fmt.Errorf("%w: %d events, at most %d", ErrDamaged, count, MaxEvents)
	}
	return nil
}

func recordToWire(r *Record) *logv1.GroupRecord {
	m := &logv1.GroupRecord{
		MinReader: MinReader, Partition: r.Partition, Epoch: r.Epoch, Group: idToWire(r.Group), Claim: r.Claim,
		Holder: text(r.Holder), First: uint64(r.First), DecidedAtMs: int64(r.DecidedAt), RosterVersion: r.RosterVersion,
		Input: r.Input, BatonId: idToWire(r.BatonID), Entries: make([]*logv1.Entry, len(r.Entries)),
	}
	if r.Prev != [HashSize]byte{} {
		m.Prev = r.Prev[:]
	}
	for i := range r.Entries {
		m.Entries[i] = entryToWire(&r.Entries[i])
	}
	return m
}

func recordFromWire(m *logv1.GroupRecord, version byte) (Record, error) {
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
	if len(m.GetEntries()) == 0 {
		return r, nil
	}
	r.Entries = make([]Entry, len(m.GetEntries()))
	for i, e := range m.GetEntries() {
		if err := entryFromWire(&r.Entries[i], e, version); err != nil {
			return Record{}, fmt.Errorf("position %d: %w", r.First+control.Position(i), err)
		}
	}
	return r, nil
}

func entryToWire(e *Entry) *logv1.Entry {
	m := &logv1.Entry{
		Asset: e.Thread.Asset, Person: e.Thread.Person, Cause: idToWire(e.Cause), Trace: idToWire(e.Trace),
	}
	eventToWire(m, e.Event)
	return m
}

func entryFromWire(e *Entry, m *logv1.Entry, version byte) error {
	var bad fault
	e.Thread = control.ThreadKey{Asset: m.GetAsset(), Person: m.GetPerson()}
	e.Cause, e.Trace = bad.id(m.GetCause()), bad.id(m.GetTrace())
	e.Event = bad.event(m)
	switch {
	case bad.text != "":
		return fmt.Errorf("%w: %s", ErrDamaged, bad.text)
	case e.Event != nil:
		return nil
	case version > Version:
		return fmt.Errorf("%w: version %d, with an event this build does not know", ErrNewerVersion, version)
	default:
		return fmt.Errorf("%w: no event", ErrDamaged)
	}
}
