package streamindex

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats-server/v2/server/avl"
)

// The format of index.db. Source: nats-server, filestore.go, recoverFullState
// and _writeFullState.
const (
	indexMagic   = 11
	indexVersion = 4
	sumSize      = highwayhash.Size64
)

// errUnusable is returned for an index or a block that this package does not
// carry on from. The server reads the stream anew.
var errUnusable = errors.New("streamindex: not to be carried on from")

// edge is the first or the last message of something; at is in nanoseconds
// since 1970.
type edge struct {
	sequence uint64
	at       int64
}

// index is what index.db says of a stream.
type index struct {
	messages, bytes uint64
	first, last     edge
	subjects        map[string]*subject
	blocks          []*block // ascending; the last is written to
	sum             []byte   // of the newest record of the last block
}

// subject is what a stream holds of a subject.
type subject struct {
	messages                uint64
	firstBlock, latestBlock uint32
}

// block is a file of a stream, by its number.
type block struct {
	number      uint32
	bytes       uint64 // of the messages that are not deleted
	first, last edge
	deleted     *avl.SequenceSet // between the two
	mortal      uint64           // messages with a time to live
	scheduled   uint64
}

func (b *block) messages() uint64 {
	return b.last.sequence + 1 - b.first.sequence - uint64(b.deleted.Size())
}

// digest is how the server sums up bytes under a name.
func digest(name string, parts ...[]byte) []byte {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) //nolint:forbidigo // the key has the right size
	}
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	return h.Sum(nil)
}

// parse reads the index of the stream with that name.
func parse(raw []byte, name string) (*index, error) {
	if len(raw) < 2+2*sumSize {
		return nil, fmt.Errorf("%w: an index of %d bytes", errUnusable, len(raw))
	}
	body, sum := raw[:len(raw)-sumSize], raw[len(raw)-sumSize:]
	if !bytes.Equal(digest(name, body), sum) {
		return nil, fmt.Errorf("%w: the index does not fit its checksum", errUnusable)
	}
	if body[0] != indexMagic || body[1] != indexVersion {
		return nil, fmt.Errorf("%w: an index of format %d/%d", errUnusable, body[0], body[1])
	}
	s := scanner{rest: body[2:]}
	x := &index{subjects: map[string]*subject{}}
	x.messages, x.bytes = s.number(), s.number()
	x.first.sequence, x.first.at = s.number(), s.signed()
	x.last.sequence, x.last.at = s.number(), s.signed()
	for range s.count() {
		name := s.text()
		x.subjects[name] = &subject{s.number(), s.number32(), s.number32()}
	}
	for range s.count() {
		x.blocks = append(x.blocks, s.block(x.first.at))
	}
	last := s.number32()
	x.sum = s.rest
	if s.bad || len(x.blocks) == 0 || x.blocks[len(x.blocks)-1].number != last || len(x.sum) != sumSize {
		return nil, fmt.Errorf("%w: the layout of the index is another", errUnusable)
	}
	return x, nil
}

// encode is what the server would write.
func (x *index) encode(name string) []byte {
	b := []byte{indexMagic, indexVersion}
	b = binary.AppendUvarint(b, x.messages)
	b = binary.AppendUvarint(b, x.bytes)
	b = binary.AppendVarint(binary.AppendUvarint(b, x.first.sequence), x.first.at)
	b = binary.AppendVarint(binary.AppendUvarint(b, x.last.sequence), x.last.at)
	b = binary.AppendUvarint(b, uint64(len(x.subjects)))
	for name, s := range x.subjects {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = binary.AppendUvarint(append(b, name...), s.messages)
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(s.firstBlock)), uint64(s.latestBlock))
	}
	b = binary.AppendUvarint(b, uint64(len(x.blocks)))
	for _, k := range x.blocks {
		b = k.append(b, x.first.at)
	}
	b = binary.AppendUvarint(b, uint64(x.blocks[len(x.blocks)-1].number))
	b = append(b, x.sum...)
	return append(b, digest(name, b)...)
}

// append appends a block; base is what times are counted from.
func (b *block) append(to []byte, base int64) []byte {
	to = binary.AppendUvarint(to, uint64(b.number))
	to = binary.AppendUvarint(to, b.bytes)
	to = binary.AppendVarint(binary.AppendUvarint(to, b.first.sequence), b.first.at-base)
	to = binary.AppendVarint(binary.AppendUvarint(to, b.last.sequence), b.last.at-base)
	to = binary.AppendUvarint(to, uint64(b.deleted.Size()))
	to = binary.AppendUvarint(binary.AppendUvarint(to, b.mortal), b.scheduled)
	if b.deleted.Size() > 0 {
		to = append(to, b.deleted.Encode(nil)...)
	}
	return to
}

// scanner reads an index; after the first field that is not there it is bad.
type scanner struct {
	rest []byte
	bad  bool
}

func (s *scanner) block(base int64) *block {
	b := &block{number: s.number32(), bytes: s.number(), deleted: &avl.SequenceSet{}}
	b.first.sequence, b.first.at = s.number(), s.signed()+base
	b.last.sequence, b.last.at = s.number(), s.signed()+base
	deleted := s.number()
	b.mortal, b.scheduled = s.number(), s.number()
	if deleted == 0 || s.bad {
		return b
	}
	set, n, err := avl.Decode(s.rest)
	if err != nil || uint64(set.Size()) != deleted {
		s.bad = true
		return b
	}
	b.deleted, s.rest = set, s.rest[n:]
	return b
}

func (s *scanner) number() uint64 {
	v, n := binary.Uvarint(s.rest)
	s.skip(n)
	return v
}

func (s *scanner) signed() int64 {
	v, n := binary.Varint(s.rest)
	s.skip(n)
	return v
}

func (s *scanner) number32() uint32 {
	v := s.number()
	s.bad = s.bad || v > math.MaxUint32
	return uint32(v)
}

// count is the number of things of at least a byte each.
func (s *scanner) count() uint64 {
	n := s.number()
	if n > uint64(len(s.rest)) {
		s.bad = true
	}
	if s.bad {
		return 0
	}
	return n
}

func (s *scanner) text() string {
	n := s.count()
	text := string(s.rest[:n])
	s.skip(int(n))
	return text
}

func (s *scanner) skip(n int) {
	if n < 0 || n > len(s.rest) || n == 0 {
		s.bad, s.rest = true, nil
		return
	}
	s.rest = s.rest[n:]
}

// at is the block that has, or would have, a sequence; nil behind the last.
func (x *index) at(sequence uint64) *block {
	i, _ := slices.BinarySearchFunc(x.blocks, sequence, func(b *block, sequence uint64) int {
		if b.last.sequence < sequence {
			return -1
		}
		return 1
	})
	if i == len(x.blocks) {
		return nil
	}
	return x.blocks[i]
}
