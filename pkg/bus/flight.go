package bus

import (
	"bytes"
	"slices"
	"time"
)

// flight is a bundle in the making or under way, and what its callers wait for.
type flight struct {
	buf  []byte
	open int // of buf, the parts
	// parts by partition, with what each was fenced by.
	parts []flightPart
	done  chan struct{}
	// What became of it, once done is closed. refused are parts that did not
	// go along.
	sequence uint64
	took     time.Duration
	err      error
	refused  map[int]error
}

// flightPart is a part: its header begins at from, its message at body.
type flightPart struct {
	partition, from, body, to int
	expected                  uint64
	fenced                    bool
	stored                    func(error) // who is told; nil for who waits
}

func (f *flight) outcome(p int) error {
	if f.err != nil {
		return f.err
	}
	return f.refused[p]
}

// holds reports whether the very same part is in the bundle.
func (f *flight) holds(p int, data []byte, expected uint64) bool {
	i := slices.IndexFunc(f.parts, func(have flightPart) bool { return have.partition == p })
	if i < 0 || f.parts[i].expected != expected {
		return false
	}
	return bytes.Equal(f.buf[f.parts[i].body:f.parts[i].to], data)
}
