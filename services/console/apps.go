package console

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// ListApps lists the apps with their delivery state.
func (s *Service) ListApps(ctx context.Context, _ *connect.Request[adminv1.ListAppsRequest]) (*connect.Response[adminv1.ListAppsResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	owned, err := s.owned(ctx)
	if err != nil {
		return nil, err
	}
	states, missing, err := s.deps.Apps.Show(ctx, 0)
	if err != nil {
		s.deps.Logger.Warn("the state of deliveries is not known", "err", err)
	}
	resp := &adminv1.ListAppsResponse{Missing: numbers(missing)}
	for _, id := range s.deps.Rosters.Current().Apps() {
		a := s.app(id, states)
		a.Owned = owned[id]
		resp.Apps = append(resp.Apps, a)
	}
	return connect.NewResponse(resp), nil
}

// owned counts the threads that each app controls.
func (s *Service) owned(ctx context.Context) (map[control.AppID]uint64, error) {
	counts := map[control.AppID]uint64{}
	for p := range s.deps.Node.Partitions {
		err := s.newest(ctx, p).EachThread(func(_ control.ThreadKey, st control.State) error {
			if st.Owner != 0 {
				counts[st.Owner]++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("threads of partition %d: %w", p, err)
		}
	}
	return counts, nil
}

// numbers are partitions as answers carry them.
func numbers(partitions []int) []uint32 {
	var list []uint32
	for _, p := range partitions {
		list = append(list, uint32(p))
	}
	return list
}

func (s *Service) app(id control.AppID, states map[control.AppID]AppStatus) *adminv1.App {
	snap := s.deps.Rosters.Current()
	a := &adminv1.App{Id: id.String(), State: "unknown"}
	if app, ok := snap.App(id); ok {
		a.Name, a.Status, a.CallbackUrl = app.Name, app.Status, app.CallbackURL
	}
	for _, asset := range snap.Assets() {
		if _, ok := snap.Page(asset).Apps[id]; ok {
			a.Pages = append(a.Pages, fmt.Sprint(asset))
		}
	}
	if st, ok := states[id]; ok {
		a.State, a.Reason, a.LagEvents, a.LagMs, a.Breaker = st.State, st.Reason, st.Lag, st.Age.Milliseconds(), st.Breaker
		a.Parked, a.Blocked, a.InFlight = uint32(st.Parked), uint32(st.Blocked), uint32(st.InFlight)
		a.Slots, a.Queued = uint32(st.Slots), uint32(st.Queued)
	}
	return a
}

// ShowApp shows one app with its place in every partition.
func (s *Service) ShowApp(ctx context.Context, req *connect.Request[adminv1.ShowAppRequest]) (*connect.Response[adminv1.ShowAppResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	id, err := s.knownApp(req.Msg.GetApp())
	if err != nil {
		return nil, err
	}
	resp, err := s.showApp(ctx, id)
	if err != nil {
		return nil, err
	}
	owned, err := s.owned(ctx)
	if err != nil {
		return nil, err
	}
	resp.App.Owned = owned[id]
	return connect.NewResponse(resp), nil
}

func (s *Service) knownApp(name string) (control.AppID, error) {
	id, ok := s.names().find(name)
	if _, known := s.deps.Rosters.Current().App(id); !ok || !known {
		return 0, invalid("unknown app %q", name)
	}
	return id, nil
}

// showApp is an app with its places, but for the threads it owns: to count them, all
// threads are read.
func (s *Service) showApp(ctx context.Context, id control.AppID) (*adminv1.ShowAppResponse, error) {
	states, missing, err := s.deps.Apps.Show(ctx, id)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("deliveries of %s: %w", id, err))
	}
	resp := &adminv1.ShowAppResponse{App: s.app(id, states), Missing: numbers(missing)}
	for _, pl := range states[id].Places {
		resp.Places = append(resp.Places, &adminv1.AppPlace{
			Partition: uint32(pl.Partition), Node: pl.Node, Watermark: uint64(pl.Watermark), Read: uint64(pl.Read),
			Head: uint64(pl.Head), Undelivered: uint32(pl.Undelivered), OldestMs: pl.Age.Milliseconds(),
			ReplayUntil: uint64(pl.ReplayUntil),
		})
	}
	return resp, nil
}

// SteerApp pauses, resumes, rewinds, skips or replays an app's deliveries.
func (s *Service) SteerApp(ctx context.Context, req *connect.Request[adminv1.SteerAppRequest]) (*connect.Response[adminv1.SteerAppResponse], error) {
	operator, err := need(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	o, err := s.order(req.Msg)
	if err != nil {
		return nil, err
	}
	if err := s.deps.Apps.Steer(ctx, o); err != nil {
		return nil, fmt.Errorf("%s %s: %w", o.Verb, o.App, err)
	}
	s.deps.Logger.Info("deliveries steered", "app_id", o.App.String(), "verb", o.Verb, "operator", operator)
	resp, err := s.showApp(ctx, o.App)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.SteerAppResponse{App: resp.GetApp()}), nil
}

// order reads what is to be done; the error names what is wrong with it.
func (s *Service) order(r *adminv1.SteerAppRequest) (Order, error) {
	id, err := s.knownApp(r.GetApp())
	if err != nil {
		return Order{}, err
	}
	o := Order{Verb: r.GetVerb(), App: id, Partition: int(r.GetPartition()), Position: control.Position(r.GetPosition())}
	if o.Partition >= s.deps.Node.Partitions {
		return o, invalid("partition %d: there are %d, numbered from 0", o.Partition, s.deps.Node.Partitions)
	}
	if r.GetFrom() != "" {
		if o.From, err = time.Parse(time.RFC3339Nano, r.GetFrom()); err != nil {
			return o, invalid("from %q is not a time as in 2026-11-22T08:00:00Z", r.GetFrom())
		}
		if o.From.After(time.Now()) {
			return o, invalid("from %q lies in the future", r.GetFrom())
		}
	}
	switch o.Verb {
	case "pause", "resume", "skip":
	case "rewind":
		if (o.Position == 0) == o.From.IsZero() {
			return o, invalid("rewind needs a position (from 1) or a point in time")
		}
	case "replay":
		if o.From.IsZero() {
			return o, invalid("replay needs a point in time")
		}
	default:
		return o, invalid("unknown verb %q, want pause, resume, rewind, skip or replay", o.Verb)
	}
	return o, nil
}

// Waits of Apply for the partitions.
const (
	applyWithin = 5 * time.Second
	applyPoll   = 10 * time.Millisecond
)

// Apply puts the apps and pages of a file into force and returns when every
// partition with a holder has logged the version, or names those that have not
// after five seconds.
func (s *Service) Apply(ctx context.Context, req *connect.Request[adminv1.ApplyRequest]) (*connect.Response[adminv1.ApplyResponse], error) {
	operator, err := need(ctx, RoleAdmin)
	if err != nil {
		return nil, err
	}
	if len(req.Msg.GetDocument()) == 0 {
		return nil, invalid("the document is empty: it would remove every app and page")
	}
	proposal, err := roster.ParseDocument(req.Msg.GetDocument())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	resp := &adminv1.ApplyResponse{}
	version, err := s.deps.Rosters.Change(ctx, func(old roster.Document) (roster.Document, bool, error) {
		next, err := proposal.Succeed(old)
		if err != nil {
			return old, false, connect.NewError(connect.CodeInvalidArgument, err)
		}
		resp.Changes, next.ChangedBy = nil, old.ChangedBy
		for _, d := range roster.Compare(old, next) {
			resp.Changes = append(resp.Changes, d.String())
		}
		next.ChangedBy = operator
		return next, len(resp.Changes) > 0 && !req.Msg.GetDryRun(), nil
	})
	if err != nil {
		return nil, err
	}
	if resp.Version = version; req.Msg.GetDryRun() {
		return connect.NewResponse(resp), nil
	}
	s.deps.Logger.Info("roster applied", "version", version, "operator", operator, "changes", len(resp.GetChanges()))
	resp.Missing = s.awaitRoster(ctx, version)
	return connect.NewResponse(resp), nil
}

// awaitRoster waits until every partition has logged the version, and names
// those that have not in time.
func (s *Service) awaitRoster(ctx context.Context, version uint64) (missing []uint32) {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	tick := time.NewTicker(applyPoll)
	defer tick.Stop()
	for {
		behind := s.deps.Node.Missing(version)
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, p := range behind {
				missing = append(missing, uint32(p))
			}
			return missing
		}
	}
}
