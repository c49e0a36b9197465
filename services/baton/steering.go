package main

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/services/console"
	"github.com/baton-router/baton/services/fanout"
)

// steering is fan-out as operators see it.
type steering struct{ n *node }

// Status is the state of an app's deliveries on this node.
func (s steering) Status(app control.AppID) (console.AppStatus, bool) {
	if s.n.fanout == nil {
		return console.AppStatus{}, false
	}
	for _, a := range s.n.fanout.Apps() {
		if a.App == app {
			return console.AppStatus{
				State: appState(a), Reason: a.PauseReason, Lag: uint64(a.Undelivered) + a.Unread, Age: a.Oldest,
				Parked: a.Parked, InFlight: a.InFlight,
			}, true
		}
	}
	return console.AppStatus{}, false
}

func appState(a fanout.AppStatus) string {
	switch {
	case a.Paused:
		return "paused"
	case !a.Verified:
		return "waiting"
	case a.Breaker != fanout.BreakerClosed || a.Parked > 0:
		return "failing"
	default:
		return "active"
	}
}

// steer calls fan-out, if it runs here, and tells wrong input from failure.
func (s steering) steer(do func(*fanout.Service) error) error {
	if s.n.fanout == nil {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("this node does not run the role fanout"))
	}
	err := do(s.n.fanout)
	for _, wrong := range []error{fanout.ErrUnknownApp, fanout.ErrNotHeld, fanout.ErrBeyondLog} {
		if errors.Is(err, wrong) {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	return err
}

// Pause stops deliveries to an app.
func (s steering) Pause(ctx context.Context, app control.AppID) error {
	return s.steer(func(f *fanout.Service) error { return f.Pause(ctx, app, "by an operator") })
}

// Resume continues them.
func (s steering) Resume(ctx context.Context, app control.AppID) error {
	return s.steer(func(f *fanout.Service) error { return f.Resume(ctx, app) })
}

// Rewind delivers again from a position of one partition. Of all partitions, a
// shorter one is left where it ends.
func (s steering) Rewind(ctx context.Context, app control.AppID, partition int, from control.Position) error {
	return s.steer(func(f *fanout.Service) error {
		if partition >= 0 {
			return f.Rewind(ctx, app, partition, from)
		}
		for _, p := range f.Partitions() {
			if from > p.Position {
				continue // nothing to deliver again
			}
			if err := f.Rewind(ctx, app, p.Partition, from); err != nil {
				return err
			}
		}
		return nil
	})
}
