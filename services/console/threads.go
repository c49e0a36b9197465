package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store"
)

const (
	defaultThreads = 100
	maxThreads     = 10_000
	defaultHistory = 20
	maxHistory     = 1000
)

// ListThreads lists threads in key order.
func (s *Service) ListThreads(ctx context.Context, req *connect.Request[adminv1.ListThreadsRequest]) (*connect.Response[adminv1.ListThreadsResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	want, err := s.threadFilter(req.Msg)
	if err != nil {
		return nil, err
	}
	found, err := s.threads(ctx, want)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListThreadsResponse{}
	for i, t := range found {
		if i == want.limit {
			resp.Next = threadName(found[i-1].key)
			break
		}
		resp.Threads = append(resp.Threads, s.thread(t.key, t.state))
	}
	return connect.NewResponse(resp), nil
}

// threadFilter is a checked ListThreadsRequest.
type threadFilter struct {
	asset    uint64
	owner    control.AppID
	anyOwner bool
	limit    int
	after    control.ThreadKey
}

func (s *Service) threadFilter(r *adminv1.ListThreadsRequest) (threadFilter, error) {
	f := threadFilter{limit: bounded(r.GetLimit(), defaultThreads, maxThreads), anyOwner: r.GetOwner() == ""}
	if r.GetPageId() != "" {
		id, ok := control.ParseID(r.GetPageId())
		if !ok {
			return f, invalid("page id %q is not a decimal id", r.GetPageId())
		}
		f.asset = id
	}
	if !f.anyOwner && r.GetOwner() != "idle" {
		app, ok := s.names().find(r.GetOwner())
		if !ok {
			return f, invalid("unknown app %q", r.GetOwner())
		}
		f.owner = app
	}
	if r.GetAfter() == "" {
		return f, nil
	}
	page, user, _ := strings.Cut(r.GetAfter(), "/")
	key, err := threadKey(page, user)
	f.after = key
	return f, err
}

func (f threadFilter) wants(key control.ThreadKey, st control.State) bool {
	return (f.asset == 0 || key.Asset == f.asset) && (f.anyOwner || st.Owner == f.owner) && f.after.Less(key) && key.Person != 0
}

type keyedState struct {
	key   control.ThreadKey
	state control.State
}

// threads merges the partitions' threads in key order: at most one more than
// the limit.
func (s *Service) threads(ctx context.Context, f threadFilter) ([]keyedState, error) {
	var found []keyedState
	for p := range s.deps.Node.Partitions {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		mine := 0
		part, err := s.fresh(ctx, p)
		if err != nil {
			return nil, err
		}
		err = part.EachThread(func(key control.ThreadKey, st control.State) error {
			if !f.wants(key, st) {
				return nil
			}
			found = append(found, keyedState{key, st})
			if mine++; mine > f.limit {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b keyedState) int {
		if a.key.Less(b.key) {
			return -1
		}
		return 1
	})
	return found[:min(len(found), f.limit+1)], nil
}

// errEnough ends a scan that has found what was asked for.
var errEnough = errors.New("console: enough")

// ShowThread shows one thread with its history.
func (s *Service) ShowThread(ctx context.Context, req *connect.Request[adminv1.ShowThreadRequest]) (*connect.Response[adminv1.ShowThreadResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	key, err := threadKey(req.Msg.GetPageId(), req.Msg.GetUserId())
	if err != nil {
		return nil, err
	}
	page := s.deps.Rosters.Current().Page(key.Asset)
	if page == nil {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown page %s", req.Msg.GetPageId()))
	}
	at, err := pastTime(req.Msg.GetAt())
	if err != nil {
		return nil, err
	}
	part, err := s.fresh(ctx, partition.Of(key, s.deps.Node.Partitions))
	if err != nil {
		return nil, err
	}
	st, before, err := stateAt(part, key, at)
	if err != nil {
		return nil, fmt.Errorf("state of thread %s: %w", threadName(key), err)
	}
	resp := &adminv1.ShowThreadResponse{Thread: s.thread(key, st), Hints: s.hints(page, st)}
	resp.History, err = s.history(part, key, before, bounded(req.Msg.GetEvents(), defaultHistory, maxHistory))
	return connect.NewResponse(resp), err
}

// stateAt is a thread as it was at a time (0 for now), and the position before
// which all its events were by then (0 for all).
func stateAt(part *store.Partition, key control.ThreadKey, at control.Millis) (st control.State, before control.Position, err error) {
	if at == 0 {
		st, _, err = part.State(key)
		return st, 0, err
	}
	past, err := part.StateAtTime(key, at)
	return past.State, past.Last + 1, err
}

// history is the thread's latest entries before a position (0 for the end),
// oldest first.
func (s *Service) history(part *store.Partition, key control.ThreadKey, before control.Position, limit int) ([]*adminv1.LogEntry, error) {
	positions, err := part.History(key, before, limit)
	if err != nil {
		return nil, err
	}
	var entries []*adminv1.LogEntry
	for _, position := range positions {
		_, rec, err := part.Event(position)
		if err != nil {
			return nil, err
		}
		e, err := s.entry(rec, position)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	slices.Reverse(entries)
	return entries, nil
}

// thread is a state as operators read it.
func (s *Service) thread(key control.ThreadKey, st control.State) *adminv1.Thread {
	n := s.names()
	t := &adminv1.Thread{
		PageId: strconv.FormatUint(key.Asset, 10), UserId: strconv.FormatUint(key.Person, 10),
		Owner: st.Owner.String(), Since: stamp(st.Since), Until: stamp(st.ExpiresAt), LastUserAt: stamp(st.LastUserAt),
		Revision: st.Revision, Done: st.Done, Partition: uint32(partition.Of(key, s.deps.Node.Partitions)),
	}
	if st.Owner != 0 {
		t.OwnerName = n.app(st.Owner)
	}
	if r := st.Rare; r != nil {
		t.HeldSurveys, t.OpenEffects = uint32(len(r.Held)), uint32(len(r.Effects))
		for _, q := range r.Requests {
			t.Requests = append(t.Requests, &adminv1.PendingRequest{
				AppId: q.App.String(), AppName: n.app(q.App), Since: stamp(q.Since), Metadata: q.Metadata,
			})
		}
	}
	return t
}

// hints say who could do what next.
func (s *Service) hints(page *control.Page, st control.State) []string {
	n := s.names()
	switch {
	case st.Owner == 0 && page.Lead != 0:
		return []string{"idle: the next message goes to " + n.app(page.Lead) + "; any app may take_thread_control"}
	case st.Owner == 0:
		return []string{"idle: every app hears of the next message; any app may take_thread_control"}
	}
	hints := []string{n.app(st.Owner) + " may send, pass_thread_control, extend_thread_control or release_thread_control"}
	if page.Mode == control.ModeHandover && page.Lead != 0 && page.Lead != st.Owner {
		hints = append(hints, n.app(page.Lead)+" is primary and may take_thread_control")
	}
	return append(hints, "others: request_thread_control, or wait until "+stamp(st.ExpiresAt))
}

// WatchThreads streams control changes as they reach the control topic.
func (s *Service) WatchThreads(ctx context.Context, req *connect.Request[adminv1.WatchThreadsRequest], stream *connect.ServerStream[adminv1.WatchThreadsResponse]) error {
	if _, err := need(ctx, RoleViewer); err != nil {
		return err
	}
	return s.watch(ctx, req.Msg, stream.Send)
}

func threadKey(page, user string) (control.ThreadKey, error) {
	asset, ok := control.ParseID(page)
	if !ok {
		return control.ThreadKey{}, invalid("page id %q is not a decimal id", page)
	}
	person, ok := control.ParseID(user)
	if !ok {
		return control.ThreadKey{}, invalid("user id %q is not a decimal id", user)
	}
	return control.ThreadKey{Asset: asset, Person: person}, nil
}

func pastTime(s string) (control.Millis, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, invalid("time %q is not RFC 3339, such as 2026-01-02T15:04:05Z", s)
	}
	return control.Millis(t.UnixMilli()), nil
}

func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

func bounded(n uint32, byDefault, most int) int {
	if n == 0 {
		return byDefault
	}
	return min(int(n), most)
}

func causeOf(e eventlog.Entry) string {
	switch v := e.Event.(type) {
	case control.Routed:
		return fmt.Sprintf("input:%d-%d", v.Input.Sequence, v.Input.Index)
	case control.EchoWaits:
		return fmt.Sprintf("input:%d-%d", v.Input.Sequence, v.Input.Index)
	default: // a command's, or nobody's
	}
	if e.Cause != ([16]byte{}) {
		return fmt.Sprintf("command:%x", e.Cause)
	}
	return ""
}
