package bus

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// StoredMessage is one message of a stream as it is stored.
type StoredMessage struct {
	// Subject and Sequence name it.
	Subject  string
	Sequence uint64
	// At is when the server stored it.
	At time.Time
	// Header is the headers as on the wire; empty for none.
	Header []byte
	// Data is the body. It belongs to the receiver.
	Data []byte
}

// Extent is what a copy of a stream reaches over.
type Extent struct {
	// First and Last sequence; of an empty stream, First is Last + 1.
	First, Last uint64
	// Messages copied. Sequences between First and Last may be missing.
	Messages uint64
	// Bundled: some message holds several partitions.
	Bundled bool
	// Unread counts, of the log, the messages that the server has and did not give:
	// a server passes over one whose bytes are damaged, and barriers that are
	// replaced meanwhile count too.
	Unread uint64
}

// CopyOrder lists the streams in the order in which they must be copied while
// Baton runs, so that what is copied never refers to what is not. A cursor
// names positions of the log, so the log is copied after the cursors; dead
// letters are kept before the cursor passes them, so they are copied after it;
// a record names the input and the roster it was decided by, so these come
// last. The snapshots are not copied: they are a speed-up, and are made anew.
func CopyOrder() []string {
	return []string{StreamCursor, StreamControl, StreamLetters, StreamLog, StreamInbound, StreamRoster}
}

// CopyUse is StreamUse of the streams of CopyOrder, in that order.
func (c *Conn) CopyUse(ctx context.Context) ([]StreamUse, error) {
	var uses []StreamUse
	for _, name := range CopyOrder() {
		use, err := c.streamUse(ctx, name)
		if err != nil {
			return nil, err
		}
		uses = append(uses, use)
	}
	return uses, nil
}

// copyIdle is after how long without a message a copy asks whether more comes:
// the last ones may have been replaced or trimmed meanwhile.
const copyIdle = 50 * time.Millisecond

// CopyStream calls fn with every message that the stream holds when the call
// begins, in order, each once; what is trimmed or ages out meanwhile may be
// left out, and so are barriers: what they prove is over. Losses of the
// connection are repaired.
//
// Of BATON_CURSOR and BATON_CONTROL, which replace messages, it takes the cursor
// of each partition as it is at one moment during the call, and of the
// control-change topic the partition's changes up to that cursor and not one
// more: so whoever publishes behind the cursor repeats none and leaves none out.
//
// Errors: that of ctx or fn, ErrStreamMissing, ErrUnavailable.
func (c *Conn) CopyStream(ctx context.Context, name string, partitions int, fn func(StoredMessage) error) (Extent, error) {
	r := copying{conn: c, stream: name, fn: fn}
	if prefix := cursorsOf(name); prefix != "" {
		if err := r.pin(ctx, prefix, partitions); err != nil {
			return Extent{}, err
		}
	}
	use, err := c.streamUse(ctx, name)
	if err != nil {
		return Extent{}, err
	}
	r.upTo, r.extent = use.Last, Extent{First: use.Last + 1, Last: use.Last}
	if use.Messages > 0 && name != StreamCursor {
		err = r.run(ctx, use.First)
	}
	if err == nil {
		err = r.pinnedBelow(use.Last + 1)
	}
	if name == StreamLog && r.given < use.Messages {
		r.extent.Unread = use.Messages - r.given
	}
	return r.extent, err
}

// EachLog calls fn with every record that the log holds when the call begins, in
// stream order. It works on a mirror of the log too, without EnsureStreams.
// Errors as for CopyStream; ErrDamaged for a message that is not as it was
// written.
func (c *Conn) EachLog(ctx context.Context, fn func(Message) error) error {
	parts := reader{stream: StreamLog, bundles: subjectLog + bundled}
	_, err := c.CopyStream(ctx, StreamLog, 0, func(m StoredMessage) error {
		return parts.hand(Message{Sequence: m.Sequence, Partition: partitionOf(m.Subject), Data: m.Data, At: m.At, subject: m.Subject}, fn)
	})
	return err
}

// cursorsOf is the subject of a stream's cursors, "" for none.
func cursorsOf(stream string) string {
	switch stream {
	case StreamCursor:
		return subjectCursor
	case StreamControl:
		return subjectControlCursor
	}
	return ""
}

// copying is one copy under way.
type copying struct {
	conn    *Conn
	stream  string
	fn      func(StoredMessage) error
	upTo    uint64 // the end of the stream when the copy began
	extent  Extent
	given   uint64          // messages that came, copied or not
	pinned  []StoredMessage // cursors that are not copied yet, in order
	cursors []uint64        // sequences of the cursors by partition, 0 for none
	seen    atomic.Uint64   // the newest sequence, for the watch
}

// pin reads the cursor of each partition. A later one may replace it at once.
func (r *copying) pin(ctx context.Context, prefix string, partitions int) error {
	r.cursors = make([]uint64, partitions)
	for p := range partitions {
		m, err := r.conn.read(ctx, r.stream, get{Last: at(prefix, p)})
		if errors.Is(err, ErrNoMessage) {
			continue
		}
		if err != nil {
			return err
		}
		r.cursors[p] = m.Sequence
		r.pinned = append(r.pinned, StoredMessage{Subject: m.Subject, Sequence: m.Sequence, At: m.Time, Header: m.Header, Data: m.Data})
	}
	slices.SortFunc(r.pinned, func(a, b StoredMessage) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return nil
}

// run reads until the end; a second goroutine watches for one that never comes.
func (r *copying) run(ctx context.Context, first uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.seen.Store(first - 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		cancel(r.watch(ctx))
	}()
	reads := reader{conn: r.conn, stream: r.stream, next: first, raw: r.take}
	err := reads.run(ctx, nil)
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) {
		err = cause
	}
	cancel(errEnd)
	<-watched
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

// take copies one message; errEnd after the last one.
func (r *copying) take(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
	at := meta.Sequence.Stream
	if at > r.upTo {
		return errEnd
	}
	r.given++
	if r.wants(m, at) {
		if err := r.pinnedBelow(at); err != nil {
			return err
		}
		err := r.hand(StoredMessage{Subject: m.Subject(), Sequence: at, At: meta.Timestamp, Header: headerBytes(m.Headers()), Data: m.Data()})
		if err != nil {
			return err
		}
	}
	r.seen.Store(at)
	if at == r.upTo {
		return errEnd
	}
	return nil
}

// wants reports whether a message belongs into the copy: of the control-change
// topic, what its partition's cursor covers.
func (r *copying) wants(m jetstream.Msg, at uint64) bool {
	if r.stream != StreamControl {
		return !strings.HasPrefix(m.Subject(), subjectBarrier)
	}
	id, _, _ := strings.Cut(m.Headers().Get(headerMsgID), "-")
	p, err := strconv.Atoi(id)
	return err == nil && strings.HasPrefix(m.Subject(), subjectControl) && p >= 0 && p < len(r.cursors) && at < r.cursors[p]
}

// pinnedBelow copies the cursors below a sequence.
func (r *copying) pinnedBelow(sequence uint64) error {
	for len(r.pinned) > 0 && r.pinned[0].Sequence < sequence {
		if err := r.hand(r.pinned[0]); err != nil {
			return err
		}
		r.pinned = r.pinned[1:]
	}
	return nil
}

func (r *copying) hand(m StoredMessage) error {
	if r.extent.Messages == 0 {
		r.extent.First = m.Sequence
	}
	r.extent.Messages++
	if m.Subject == subjectLog+bundled || m.Subject == subjectInbound+bundled {
		r.extent.Bundled = true
	}
	return r.fn(m)
}

// watch returns errEnd when nothing more can come: nothing is left up to where
// the copy must reach. Otherwise it returns when ctx ends.
func (r *copying) watch(ctx context.Context) error {
	tick := time.NewTicker(copyIdle)
	defer tick.Stop()
	for before := r.seen.Load(); ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		at := r.seen.Load()
		if at == before && r.nothingBehind(ctx, at) {
			return errEnd
		}
		before = at
	}
}

// nothingBehind reports whether the stream's leader has nothing to copy behind a
// sequence.
func (r *copying) nothingBehind(ctx context.Context, at uint64) bool {
	m, err := r.conn.read(ctx, r.stream, get{Sequence: at + 1, Next: ">"})
	return errors.Is(err, ErrNoMessage) || err == nil && m.Sequence > r.upTo
}

// headerBytes writes headers as they are on the wire, in a fixed order.
func headerBytes(h nats.Header) []byte {
	if len(h) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.WriteString("NATS/1.0\r\n")
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
