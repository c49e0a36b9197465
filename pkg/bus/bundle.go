package bus

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
)

// A bundle is one message that carries the messages of several partitions, so
// that they share one write and one fsync. It holds at most one part for each
// partition: partition and stream sequence name a part. What it says about the
// messages before it makes the newest and the next one of a partition findable
// without a scan.
//
// In bytes:
//
//	version   1
//	parts     of each: uvarint partition+1, uvarint length, the message
//	end       0
//	base      uvarint, the last sequence of the stream before the bundle
//	count     uvarint, the partitions of the installation
//	lasts     of each partition: uvarint 0 for no message before the bundle,
//	          else base+1 minus the sequence of its last one
//	id        16 random bytes: whose bundle it is
//	checksum  CRC-32C of all before, big endian
const (
	bundleVersion = 1
	idSize        = 16
	sumSize       = 4
)

//nolint:gochecknoglobals // a constant table
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// bundle is a bundle read back. Its parts alias the message.
type bundle struct {
	parts []part
	base  uint64
	lasts []uint64 // by partition; 0 for none
	id    [idSize]byte
}

// part is the message of one partition.
type part struct {
	partition int
	data      []byte
}

// beginBundle begins a bundle; parts follow.
func beginBundle(b []byte) []byte { return append(b, bundleVersion) }

// appendPart adds a part to a bundle under construction.
func appendPart(b []byte, p int, data []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p)+1)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// sealBundle ends a bundle whose parts are there.
func sealBundle(b []byte, base uint64, lasts []uint64, id [idSize]byte) []byte {
	b = append(b, 0)
	b = binary.AppendUvarint(b, base)
	b = binary.AppendUvarint(b, uint64(len(lasts)))
	for _, last := range lasts {
		if last != 0 {
			last = base + 1 - last
		}
		b = binary.AppendUvarint(b, last)
	}
	return appendSum(append(b, id[:]...))
}

func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseBundle reads the bundle stored at a sequence. The error is ErrDamaged:
// nothing of it may be used.
func parseBundle(data []byte, sequence uint64) (*bundle, error) {
	b, why := decodeBundle(data)
	if why == "" && b.base+1 != sequence {
		why = fmt.Sprintf("written for sequence %d", b.base+1)
	}
	if why != "" {
		return nil, fmt.Errorf("%w: bundle at sequence %d: %s", ErrDamaged, sequence, why)
	}
	return b, nil
}

// decodeBundle reads a bundle, or says what is wrong with it.
func decodeBundle(data []byte) (*bundle, string) {
	body := len(data) - sumSize
	if body < 1+1+idSize {
		return nil, "too short"
	}
	if data[0] != bundleVersion {
		return nil, fmt.Sprintf("version %d, this Baton knows %d", data[0], bundleVersion)
	}
	if crc32.Checksum(data[:body], castagnoli) != binary.BigEndian.Uint32(data[body:]) {
		return nil, "its checksum differs"
	}
	b := &bundle{}
	copy(b.id[:], data[body-idSize:])
	s := scanner{rest: data[1 : body-idSize]}
	b.parts = s.parts()
	b.base = s.number()
	b.lasts = s.lasts(b.base)
	switch {
	case s.bad || len(s.rest) != 0:
		return nil, "its layout is broken"
	case !b.consistent():
		return nil, "a partition twice, or one that does not exist"
	}
	return b, ""
}

// consistent reports whether every part is of a partition of its own.
func (b *bundle) consistent() bool {
	seen := make([]bool, len(b.lasts))
	for _, p := range b.parts {
		if p.partition >= len(seen) || seen[p.partition] {
			return false
		}
		seen[p.partition] = true
	}
	return len(b.parts) > 0
}

// part returns the message of a partition; false when the bundle has none.
func (b *bundle) part(p int) ([]byte, bool) {
	i := slices.IndexFunc(b.parts, func(have part) bool { return have.partition == p })
	if i < 0 {
		return nil, false
	}
	return b.parts[i].data, true
}

// last is the sequence of a partition's last message before the bundle, 0 for
// none.
func (b *bundle) last(p int) uint64 {
	if p < 0 || p >= len(b.lasts) {
		return 0
	}
	return b.lasts[p]
}

// newest is last with the bundle itself.
func (b *bundle) newest(p int) uint64 {
	if _, ok := b.part(p); ok {
		return b.base + 1
	}
	return b.last(p)
}

// scanner reads a bundle's fields; after the first broken one it is bad.
type scanner struct {
	rest []byte
	bad  bool
}

func (s *scanner) number() uint64 {
	v, n := binary.Uvarint(s.rest)
	if n <= 0 {
		s.bad = true
		return 0
	}
	s.rest = s.rest[n:]
	return v
}

func (s *scanner) parts() []part {
	var all []part
	for {
		p := s.number()
		if p == 0 || s.bad {
			return all
		}
		length := s.number()
		if p > maxPartitions || length > uint64(len(s.rest)) {
			s.bad = true
			return all
		}
		all = append(all, part{int(p - 1), s.rest[:length:length]})
		s.rest = s.rest[length:]
	}
}

func (s *scanner) lasts(base uint64) []uint64 {
	n := s.number()
	if s.bad || n > maxPartitions || n > uint64(len(s.rest)) {
		s.bad = true
		return nil
	}
	all := make([]uint64, n)
	for i := range all {
		back := s.number()
		if back > base {
			s.bad = true
			return nil
		}
		if back != 0 {
			all[i] = base + 1 - back
		}
	}
	return all
}
