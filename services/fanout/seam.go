package fanout

import (
	"context"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// What the reader of the log keeps of the partitions that other nodes deliver for: it
// is what one of them lacks that moves here.
const (
	keptRecords = 1024
	keptBytes   = 4 << 20
)

// passage are the records that the reader has come by lately and handed to nobody.
// Owned by the route.
type passage struct {
	records []passed
	bytes   int
	since   uint64         // what lies behind is all there
	left    map[int]uint64 // of partitions that were held here since: likewise
}

// passed is a record that the reader has come by.
type passed struct {
	bus.Message
	came time.Time
}

// begin forgets all: the reader begins behind a sequence.
func (g *passage) begin(after uint64) { *g = passage{since: after, left: map[int]uint64{}} }

// keep keeps a record, and lets the oldest go.
func (g *passage) keep(m bus.Message) {
	g.records, g.bytes = append(g.records, passed{m, time.Now()}), g.bytes+len(m.Data)
	gone := 0
	for len(g.records)-gone > keptRecords || g.bytes > keptBytes {
		g.since, g.bytes = g.records[gone].Sequence, g.bytes-len(g.records[gone].Data)
		g.records[gone] = passed{}
		gone++
	}
	g.records = g.records[gone:]
}

// behind are the partition's records behind a sequence; whole says that the reader
// has come by no others.
func (g *passage) behind(p int, sequence uint64) (records []bus.Message, whole bool) {
	for i := range g.records {
		if m := &g.records[i].Message; m.Partition == p && m.Sequence > sequence {
			records = append(records, *m)
		}
	}
	return records, sequence >= max(g.since, g.left[p])
}

// saw is the partition's record at a sequence, if it was read a moment ago.
func (g *passage) saw(p int, sequence uint64) (bus.Message, bool) {
	for i := range g.records {
		if r := &g.records[i]; r.Partition == p && r.Sequence == sequence {
			return r.Message, time.Since(r.came) < bus.TrustFor
		}
	}
	return bus.Message{}, false
}

// Prepare has this node read the log before it holds anything, so that a partition
// that moves here finds what it lacks in memory. It blocks until the reader has come
// to where the partition is, or ctx ends.
func (s *Service) Prepare(ctx context.Context, p int) {
	if s.config.Sole || s.route.open() {
		return
	}
	if err := s.readFrom(ctx, p); err != nil && ctx.Err() == nil {
		s.log.Debug("not prepared for the partition", "partition", p, "err", err)
	}
}

// readFrom begins the reader of the log with the record that a partition's cursor
// stands at.
func (s *Service) readFrom(ctx context.Context, p int) error {
	data, _, err := s.deps.Cursors.LoadCursor(ctx, p)
	if err != nil {
		return err
	}
	c, err := decodeCursor(data, s.config.BatonID)
	at := c.GetRead().GetSequence()
	if err != nil || at == 0 {
		return err
	}
	s.route.aim(at - 1)
	signal(s.joined)
	return s.route.await(ctx, at)
}

// CatchingUp is never so: a cursor can be taken over as it is.
func (*Service) CatchingUp() bool { return false }
