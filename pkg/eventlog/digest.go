package eventlog

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"

	"github.com/baton-router/baton/pkg/control"
)

// Digest is a state digest: holder, standby, replay and restore must agree on
// it at the same head.
type Digest [sha256.Size]byte

// Digester computes the state digest of a partition: SHA-256 over the threads
// by key with the canonical encodings of their states, then the de-duplication
// keys, then the answers, each by key. Only what still counts at the last
// decided-at is fed. The caller feeds them in that order; the zero Digester is
// not usable.
type Digester struct {
	sum hash.Hash
	buf []byte // fed and not hashed yet
}

// digestAtOnce is how many bytes are hashed together: rows are shorter than what
// the hash takes at once.
const digestAtOnce = 4 << 10

// NewDigester returns a Digester that was fed nothing.
func NewDigester() *Digester {
	return &Digester{sum: sha256.New(), buf: make([]byte, 0, digestAtOnce+512)}
}

// Thread feeds a thread, with the canonical encoding of its state.
func (d *Digester) Thread(key control.ThreadKey, canonical []byte) {
	d.buf = append(d.buf, 'T')
	d.buf = binary.BigEndian.AppendUint64(d.buf, key.Asset)
	d.buf = binary.BigEndian.AppendUint64(d.buf, key.Person)
	d.end(canonical)
}

// Seen feeds a de-duplication key with the time at which it was decided on.
func (d *Digester) Seen(key [16]byte, at control.Millis) {
	d.buf = append(append(d.buf, 'S'), key[:]...)
	d.buf = binary.BigEndian.AppendUint64(d.buf, uint64(at))
	d.end(nil)
}

// Answer feeds an answer, encoded by AppendAnswer.
func (d *Digester) Answer(key [16]byte, encoded []byte) {
	d.buf = append(append(d.buf, 'A'), key[:]...)
	d.end(encoded)
}

// Sum returns the digest of what was fed.
func (d *Digester) Sum() (sum Digest) {
	d.hash()
	d.sum.Sum(sum[:0])
	return sum
}

// end ends a row with its value.
func (d *Digester) end(value []byte) {
	d.buf = binary.BigEndian.AppendUint32(d.buf, uint32(len(value)))
	d.buf = append(d.buf, value...)
	if len(d.buf) >= digestAtOnce {
		d.hash()
	}
}

func (d *Digester) hash() {
	d.sum.Write(d.buf)
	d.buf = d.buf[:0]
}

// Total is the digest over partitions: SHA-256 over the partition numbers with
// their digests, by number.
func Total(partitions map[uint32]Digest) (total Digest) {
	sum := sha256.New()
	for _, p := range slices.Sorted(maps.Keys(partitions)) {
		digest := partitions[p]
		sum.Write(append(binary.BigEndian.AppendUint32(nil, p), digest[:]...))
	}
	sum.Sum(total[:0])
	return total
}

// DigestsOf calls digest for each of these partitions, as EachOf does.
func DigestsOf(partitions []uint32, digest func(p uint32) (Digest, error)) (map[uint32]Digest, error) {
	digests, err := EachOf(partitions, digest)
	if err != nil {
		return nil, err
	}
	all := make(map[uint32]Digest, len(partitions))
	for i, p := range partitions {
		all[p] = digests[i]
	}
	return all, nil
}
