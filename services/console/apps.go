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
	owned, err := s.owned()
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListAppsResponse{}
	for _, id := range s.deps.Rosters.Current().Apps() {
		a := s.app(id)
		a.Owned = owned[id]
		resp.Apps = append(resp.Apps, a)
	}
	return connect.NewResponse(resp), nil
}

// owned counts the threads that each app controls.
func (s *Service) owned() (map[control.AppID]uint64, error) {
	counts := map[control.AppID]uint64{}
	for p := range s.deps.Node.Partitions {
		err := s.part(p).EachThread(func(_ control.ThreadKey, st control.State) error {
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

func (s *Service) app(id control.AppID) *adminv1.App {
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
	if st, ok := s.deps.Apps.Status(id); ok {
		a.State, a.Reason, a.LagEvents, a.LagMs = st.State, st.Reason, st.Lag, st.Age.Milliseconds()
		a.Parked, a.InFlight = uint32(st.Parked), uint32(st.InFlight)
	}
	return a
}

// SteerApp pauses, resumes or rewinds an app's deliveries.
func (s *Service) SteerApp(ctx context.Context, req *connect.Request[adminv1.SteerAppRequest]) (*connect.Response[adminv1.SteerAppResponse], error) {
	operator, err := need(ctx, RoleOperator)
	if err != nil {
		return nil, err
	}
	id, ok := s.names().find(req.Msg.GetApp())
	if _, known := s.deps.Rosters.Current().App(id); !ok || !known {
		return nil, invalid("unknown app %q", req.Msg.GetApp())
	}
	if _, running := s.deps.Apps.Status(id); !running {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("no deliveries of %s are made by this node", id))
	}
	if p := int(req.Msg.GetPartition()); p >= s.deps.Node.Partitions {
		return nil, invalid("partition %d: there are %d, numbered from 0", p, s.deps.Node.Partitions)
	}
	switch req.Msg.GetVerb() {
	case "pause":
		err = s.deps.Apps.Pause(ctx, id)
	case "resume":
		err = s.deps.Apps.Resume(ctx, id)
	case "rewind":
		err = s.deps.Apps.Rewind(ctx, id, int(req.Msg.GetPartition()), control.Position(req.Msg.GetPosition()))
	default:
		return nil, invalid("unknown verb %q, want pause, resume or rewind", req.Msg.GetVerb())
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", req.Msg.GetVerb(), id, err)
	}
	s.deps.Logger.Info("deliveries steered", "app_id", id.String(), "verb", req.Msg.GetVerb(), "operator", operator)
	owned, err := s.owned()
	if err != nil {
		return nil, err
	}
	a := s.app(id)
	a.Owned = owned[id]
	return connect.NewResponse(&adminv1.SteerAppResponse{App: a}), nil
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
