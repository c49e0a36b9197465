package store

import (
	"crypto/sha256"
	"encoding/binary"
	"math"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// The key layout. Every key is [partition u16][table u8] and what the table
// adds; numbers are big-endian, so that the order of keys is the order of
// numbers. Partition 0xFFFF is the database itself.
//
//	table      key                                value
//	meta       -                                  format, and where the partition stands
//	log        [first position u64][sequence u64] the record, byte for byte
//	threads    [asset u64][person u64]            canonical encoding of the state
//	timers     [due u64][asset u64][person u64]   -
//	history    [asset u64][person u64][position]  a run of positions, and a state; none since Format 4
//	answers    [generation u32][key 16]           eventlog.Answer
//	singles    [generation u32][key 16]           decided-at; none since Format 3
//	buttons    [asset u64][person u64][payload]   app
//	mids       [SHA-256 of the mid, 16 bytes]     position of the send
//	deliveries [begun at u64][count u32]          a row of the node's delivery log
//	segments   [first row's time u64]             bytes of a run of such rows
//	late       [place u16]                        a record's rows that are not in their tables yet
//	dedupe     [generation u32][bucket u16]       keys of 16 bytes, each with its decided-at
//	histories  [span u32][bucket u16]             runs of positions of threads, with states
//
// A record without entries has the first position of the record after it, so
// the stream sequence keeps them apart, and in order.
type table byte

const (
	tableMeta table = iota
	tableLog
	tableThreads
	tableTimers
	tableHistory
	tableAnswers
	tableSingles
	tableButtons
	tableMids
	tableDeliveries
	tableDeliverySegments
	tableLate
	tableDedupe
	tableHistories
)

// ownPartition holds the database's own rows.
const ownPartition = math.MaxUint16

// MaxPartitions is how many partitions a store can hold.
const MaxPartitions = ownPartition

// generationSpan is the time that one generation of answers or de-duplication
// keys spans. Rows lapse by generation: one range deletion, and a lookup never
// needs more than two.
const generationSpan = max(eventlog.DedupeFor, eventlog.MaxKeyFor)

// key starts a key of a table of partition p.
func key(p uint16, t table) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 32), p), byte(t))
}

// number appends v.
func number(k []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(k, v) }

// instant appends a time: earlier times have smaller keys, negative ones too.
func instant(k []byte, t control.Millis) []byte {
	return number(k, uint64(t)^1<<63)
}

func parseInstant(b []byte) control.Millis {
	return control.Millis(binary.BigEndian.Uint64(b) ^ 1<<63)
}

func threadOf(k []byte, thread control.ThreadKey) []byte {
	return number(number(k, thread.Asset), thread.Person)
}

func parseThread(b []byte) control.ThreadKey {
	return control.ThreadKey{Asset: binary.BigEndian.Uint64(b), Person: binary.BigEndian.Uint64(b[8:])}
}

// generation is the number of the generation of a time; times out of range
// belong to the first or last.
func generation(t control.Millis) uint32 {
	return uint32(min(max(t/generationSpan, 0), math.MaxUint32-1))
}

func generationOf(k []byte, g uint32) []byte { return binary.BigEndian.AppendUint32(k, g) }

func midHash(mid string) [16]byte {
	sum := sha256.Sum256([]byte(mid))
	return [16]byte(sum[:16])
}

// after returns the first key that does not begin with prefix, which must not
// be all 0xFF.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
