// Package eventlog is the format of a partition's log: group records, their
// codec, their hash chain, and the fold that rebuilds everything from them.
//
// The rule of the package: stored bytes are read for ever. Fields are added,
// never changed; an older record is upcast on read, never rewritten.
package eventlog

import "github.com/baton-router/baton/pkg/control"

// Version is the record version that this build writes. MinReader is the oldest
// build's version that may read what this build writes.
const (
	Version   = 1
	MinReader = 1
)

// Bounds of a group record.
const (
	MaxEvents = 1024
	MaxBytes  = 768 << 10
)

// HashSize is the size of a record's hash: SHA-256.
const HashSize = 32

// Record is a group record: everything that a partition's holder decided in one
// step, in one JetStream message. A claim is a record without entries: it makes
// its epoch the partition's highest.
type Record struct {
	Partition uint32
	// Epoch is the fencing number of the holder that wrote the record.
	Epoch uint64
	// Group identifies the record; a repeat of an unknown publish is
	// byte-identical, so it carries the same Group.
	Group [16]byte
	// Claim marks the first record of an epoch. Holder names who claimed.
	Claim  bool
	Holder string
	// First is the position of Entries[0]. A record without entries repeats
	// the position that its next entry would have; see Last.
	First control.Position
	// DecidedAt is the partition time of the decisions.
	DecidedAt control.Millis
	// RosterVersion is the roster in force after the record.
	RosterVersion uint64
	// Input is the last BATON_IN sequence of which every event is decided in
	// this or an earlier record.
	Input uint64
	// BatonID is the identity of the streams the record was written to.
	BatonID [16]byte
	Entries []Entry
	// Prev is the hash of the record before it in the partition, zero for the
	// first; Hash is its own, filled in by Encode and Decode.
	Prev [HashSize]byte
	Hash [HashSize]byte
}

// Entry is one event at its position.
type Entry struct {
	Thread control.ThreadKey
	// Cause is the command id of the API call that caused it, or zero. Input
	// events name their cause in Routed.Input; Due has none.
	Cause [16]byte
	// Trace follows the request through the system; zero for none.
	Trace [16]byte
	Event control.Event
}

// Last is the position of the record's last entry: First-1 when it has none.
func (r *Record) Last() control.Position {
	return r.First + control.Position(len(r.Entries)) - 1
}

// At returns the entry at position p, if the record holds it.
func (r *Record) At(p control.Position) (Entry, bool) {
	if p < r.First || p > r.Last() {
		return Entry{}, false
	}
	return r.Entries[p-r.First], true
}
