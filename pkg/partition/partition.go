// Package partition says which partition a thread belongs to.
//
// The rule of the package: pure arithmetic over ids; the same bytes give the
// same partition on every node and in every version.
package partition

import (
	"strconv"

	"github.com/baton-router/baton/pkg/control"
)

// Default is the number of partitions of an installation that names none.
const Default = 64

const (
	offset32 = 2166136261
	prime32  = 16777619
)

// Of returns the partition of a thread among count partitions: FNV-1a 32 over
// the decimal bytes of the asset id followed by those of the person's id, no
// separator, modulo count. It equals NATS's {{partition(N,1,2)}} mapping. The
// page itself (Person zero) hashes its asset id alone. count must be positive.
func Of(key control.ThreadKey, count int) int {
	var buf [40]byte
	b := strconv.AppendUint(buf[:0], key.Asset, 10)
	if key.Person != 0 {
		b = strconv.AppendUint(b, key.Person, 10)
	}
	h := uint32(offset32)
	for _, c := range b {
		h ^= uint32(c)
		h *= prime32
	}
	return int(h % uint32(count))
}
