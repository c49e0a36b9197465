package bus

import (
	"slices"
	"sync"
	"time"
)

// recentBytes bounds what a stream's only writer keeps for readers. One that
// is further behind reads the stream.
const recentBytes = 2 << 20

// recent holds the newest messages of a stream that has one writer, for the
// readers of its process: what was stored this moment is handed on from
// memory, without a consumer, its goroutines and its copies. Nothing is in it
// before the stream has acknowledged it. Safe for concurrent use.
type recent struct {
	mu struct { // nothing that blocks is done under it
		sync.Mutex
		bundles []recentBundle // oldest first, sequences without a gap
		bytes   int
		next    uint64        // sequence of the message that comes next
		changed chan struct{} // closed when any of this changes
		closed  bool
	}
}

// recentBundle is a stored bundle. Its readers share the parts.
type recentBundle struct {
	sequence uint64
	parts    []part
	bytes    int
	at       time.Time
}

func newRecent() *recent {
	r := &recent{}
	r.mu.changed = make(chan struct{})
	return r
}

// restart forgets everything: the stream's next message has the sequence next,
// and what lies before may be by another writer.
func (r *recent) restart(next uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.bundles, r.mu.bytes, r.mu.next = nil, 0, next
	r.tell()
}

// add takes the message that was stored last, of which it keeps a copy.
func (r *recent) add(f *flight, sequence uint64) {
	data := slices.Clone(f.buf[:f.open])
	b := recentBundle{sequence: sequence, parts: make([]part, len(f.parts)), bytes: len(data), at: time.Now()}
	for i, p := range f.parts {
		b.parts[i] = part{p.partition, data[p.body:p.to:p.to]}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.bundles = append(r.mu.bundles, b)
	r.mu.bytes += b.bytes
	r.mu.next = sequence + 1
	for r.mu.bytes > recentBytes && len(r.mu.bundles) > 1 {
		r.drop()
	}
	r.tell()
}

// forget drops what the stream has trimmed.
func (r *recent) forget(upTo uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.mu.bundles) > 0 && r.mu.bundles[0].sequence <= upTo {
		r.drop()
	}
}

// close sends the readers away.
func (r *recent) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.closed = true
	r.tell()
}

func (r *recent) drop() {
	r.mu.bytes -= r.mu.bundles[0].bytes
	r.mu.bundles[0] = recentBundle{}
	r.mu.bundles = r.mu.bundles[1:]
}

func (r *recent) tell() {
	close(r.mu.changed)
	r.mu.changed = make(chan struct{})
}

// since returns the messages from a sequence on and what is closed when more
// come. The error is errBehind when older ones are wanted than are held, and
// ErrClosed.
func (r *recent) since(next uint64) (bundles []recentBundle, more <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := r.mu.next - uint64(len(r.mu.bundles))
	switch {
	case r.mu.closed:
		return nil, nil, ErrClosed
	case next < first:
		return nil, nil, errBehind
	case next >= r.mu.next:
		return nil, r.mu.changed, nil
	}
	return slices.Clone(r.mu.bundles[next-first:]), r.mu.changed, nil
}

// reaches reports whether a reader that wants a sequence next can take it from
// here, with room to spare for one that is slow.
func (r *recent) reaches(next uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return next >= r.mu.next-uint64(len(r.mu.bundles))/2
}
