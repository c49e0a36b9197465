package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
	"github.com/baton-router/baton/pkg/store"
)

// watch sends the control changes that come from now on.
func (s *Service) watch(ctx context.Context, req *adminv1.WatchThreadsRequest, send func(*adminv1.WatchThreadsResponse) error) error {
	var page uint64
	if req.GetPageId() != "" {
		id, ok := control.ParseID(req.GetPageId())
		if !ok {
			return invalid("page id %q is not a decimal id", req.GetPageId())
		}
		page = id
	}
	if _, ok := control.ParseID(req.GetUserId()); !ok && req.GetUserId() != "" {
		return invalid("user id %q is not a decimal id", req.GetUserId())
	}
	return ended(ctx, s.deps.Bus.ReadControl(ctx, page, func(_ string, m bus.Message) error {
		c, err := eventlog.ParseTopic(m.Data)
		if err != nil {
			return fmt.Errorf("change at sequence %d: %w", m.Sequence, err)
		}
		if req.GetUserId() != "" && req.GetUserId() != c.GetUserId() {
			return nil
		}
		body, err := eventlog.Topic(c, eventlog.EncodingJSON)
		if err != nil {
			return fmt.Errorf("change at sequence %d: %w", m.Sequence, err)
		}
		return send(&adminv1.WatchThreadsResponse{ChangeJson: string(body.Data), Text: s.changed(c)})
	}))
}

// ended makes the end of a stream by its caller no failure.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller has gone
	}
	return err
}

// changed says in one line what a control change was.
func (s *Service) changed(c *controlv1.ControlChange) string {
	text := fmt.Sprintf("%s  %d-%d  %s/%s  %s  %s → %s", c.GetDecidedAt().AsTime().Format("15:04:05.000"),
		c.GetPartition(), c.GetPosition(), c.GetPageId(), c.GetUserId(), c.GetKind(),
		s.named(c.GetPreviousOwner()), s.named(c.GetNewOwner()))
	if c.GetReason() != "" {
		text += " (" + c.GetReason() + ")"
	}
	return text + quoted(c.GetMetadata())
}

// named is an owner's name by its id as a string.
func (s *Service) named(id string) string {
	n, _ := control.ParseID(id)
	return s.names().app(control.AppID(n))
}

// TailLog streams entries: the last ones or those from a position on, and, when
// asked to follow, what comes.
func (s *Service) TailLog(ctx context.Context, req *connect.Request[adminv1.TailLogRequest], stream *connect.ServerStream[adminv1.TailLogResponse]) error {
	if _, err := need(ctx, RoleViewer); err != nil {
		return err
	}
	f, err := s.logFilter(req.Msg)
	if err != nil {
		return err
	}
	send := func(e *adminv1.LogEntry) error { return stream.Send(&adminv1.TailLogResponse{Entry: e}) }
	ends := s.standing(ctx, f)
	err = s.stored(ctx, f, ends, send)
	if err != nil || !req.Msg.GetFollow() {
		return err
	}
	return ended(ctx, s.follow(ctx, f, ends, send))
}

// logFilter is a checked TailLogRequest.
type logFilter struct {
	partitions []int
	thread     control.ThreadKey // zero parts match all
	last       int
	from       control.Position
}

func (s *Service) logFilter(r *adminv1.TailLogRequest) (logFilter, error) {
	f := logFilter{last: bounded(r.GetLast(), defaultHistory, maxThreads), from: control.Position(r.GetFrom())}
	switch p := int(r.GetPartition()); {
	case p >= s.deps.Node.Partitions:
		return f, invalid("partition %d: there are %d, numbered from 0", p, s.deps.Node.Partitions)
	case p >= 0:
		f.partitions = []int{p}
	default:
		for p := range s.deps.Node.Partitions {
			f.partitions = append(f.partitions, p)
		}
	}
	for _, id := range []struct {
		text string
		into *uint64
	}{{r.GetPageId(), &f.thread.Asset}, {r.GetUserId(), &f.thread.Person}} {
		if id.text == "" {
			continue
		}
		n, ok := control.ParseID(id.text)
		if !ok {
			return f, invalid("%q is not a decimal id", id.text)
		}
		*id.into = n
	}
	return f, nil
}

func (f *logFilter) wants(e eventlog.Entry) bool {
	return (f.thread.Asset == 0 || e.Thread.Asset == f.thread.Asset) && (f.thread.Person == 0 || e.Thread.Person == f.thread.Person)
}

// standing is where the partitions of the store stand: what is stored up to
// there is sent first, and following begins behind it.
func (s *Service) standing(ctx context.Context, f logFilter) map[int]store.Applied {
	ends := map[int]store.Applied{}
	for _, p := range f.partitions {
		ends[p] = s.newest(ctx, p).Applied()
	}
	return ends
}

// stored sends what the store holds up to ends: from a position on as it is
// read, partition by partition, or the last entries of all, by time.
func (s *Service) stored(ctx context.Context, f logFilter, ends map[int]store.Applied, send func(*adminv1.LogEntry) error) error {
	var found []*adminv1.LogEntry
	keep := func(e *adminv1.LogEntry) error { found = append(found, e); return nil }
	for _, p := range f.partitions {
		end := ends[p].Position
		if f.from != 0 {
			if err := s.scan(ctx, p, f.from, end, f, send); err != nil {
				return err
			}
			continue
		}
		from := end - min(end, control.Position(tailScan)) + 1
		if err := s.scan(ctx, p, from, end, f, keep); err != nil {
			return err
		}
	}
	sortEntries(found)
	for _, e := range found[max(0, len(found)-f.last):] {
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

// tailScan bounds how many entries of a partition are looked at for the last
// ones.
const tailScan = 2000

func (s *Service) scan(ctx context.Context, p int, from, end control.Position, f logFilter, send func(*adminv1.LogEntry) error) error {
	for stored, err := range s.part(p).Records(from) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || stored.First > end {
			return err
		}
		rec, err := eventlog.Decode(stored.Raw)
		if err != nil {
			return err
		}
		for i := range rec.Entries {
			position := rec.First + control.Position(i)
			if position < from || position > end || !f.wants(rec.Entries[i]) {
				continue
			}
			e, err := s.entry(&rec, position)
			if err == nil {
				err = send(e)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// follow sends what is decided from now on.
func (s *Service) follow(ctx context.Context, f logFilter, ends map[int]store.Applied, send func(*adminv1.LogEntry) error) error {
	start := ^uint64(0)
	for _, end := range ends {
		start = min(start, end.Sequence)
	}
	return s.deps.Bus.ReadLog(ctx, bus.ReadOptions{Partitions: f.partitions, After: start}, func(m bus.Message) error {
		rec, err := eventlog.Decode(m.Data)
		if err != nil {
			return errors.Join(fmt.Errorf("record at sequence %s", strconv.FormatUint(m.Sequence, 10)), err)
		}
		for i := range rec.Entries {
			position := rec.First + control.Position(i)
			if position <= ends[int(rec.Partition)].Position || !f.wants(rec.Entries[i]) {
				continue
			}
			e, err := s.entry(&rec, position)
			if err == nil {
				err = send(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// sortEntries orders entries of several partitions by time, then by place.
func sortEntries(all []*adminv1.LogEntry) {
	slices.SortStableFunc(all, func(a, b *adminv1.LogEntry) int {
		if c := strings.Compare(a.GetDecidedAt(), b.GetDecidedAt()); c != 0 || a.GetPartition() != b.GetPartition() {
			return c
		}
		return int(a.GetPosition()) - int(b.GetPosition())
	})
}
