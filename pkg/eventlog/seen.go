package eventlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/baton-router/baton/pkg/control"
)

// seenKey is the key of a webhook event and when it was decided on.
type seenKey struct {
	key [16]byte
	at  control.Millis
}

// seenKeys are the keys of a partition in the order in which they were decided
// on, which partition time follows: what has lapsed is in front. A key counts as
// it came last. A list, since a fold adds to it with nearly every event and reads
// it once.
type seenKeys []seenKey

func remembered(at, now control.Millis) bool { return now-at < DedupeFor }

// rememberedAt drops what has lapsed.
func (s seenKeys) rememberedAt(now control.Millis) seenKeys {
	return slices.Delete(s, 0, s.lapsed(now))
}

// lapsed is how many keys have lapsed.
func (s seenKeys) lapsed(now control.Millis) int {
	n, _ := slices.BinarySearchFunc(s, now, func(k seenKey, now control.Millis) int {
		if remembered(k.at, now) {
			return 1
		}
		return -1
	})
	return n
}

// find looks for a key among all: it is for tests and the like.
func (s seenKeys) find(key [16]byte, now control.Millis) (at control.Millis, ok bool) {
	for _, k := range slices.Backward(s[s.lapsed(now):]) {
		if k.key == key {
			return k.at, true
		}
	}
	return 0, false
}

// byKey returns the keys remembered at now, ascending, each once.
func (s seenKeys) byKey(now control.Millis) seenKeys {
	sorted := slices.Clone(s[s.lapsed(now):])
	slices.SortFunc(sorted, func(a, b seenKey) int {
		x, y := binary.BigEndian.Uint64(a.key[:]), binary.BigEndian.Uint64(b.key[:])
		if x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Or(bytes.Compare(a.key[8:], b.key[8:]), cmp.Compare(b.at, a.at))
	})
	return slices.CompactFunc(sorted, func(a, b seenKey) bool { return a.key == b.key })
}
