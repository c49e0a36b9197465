package main

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/services/console"
	"github.com/baton-router/baton/services/fanout"
)

// steering is fan-out as operators see it: that of all nodes.
type steering struct{ remote fanout.Remote }

// Show is where apps stand.
func (s steering) Show(ctx context.Context, app control.AppID) (map[control.AppID]console.AppStatus, []int, error) {
	o, err := s.remote.Show(ctx, app)
	states := make(map[control.AppID]console.AppStatus, len(o.Apps))
	for i := range o.Apps {
		states[o.Apps[i].App] = appStatus(&o.Apps[i])
	}
	return states, o.Missing, err
}

func appStatus(a *fanout.AppStatus) console.AppStatus {
	st := console.AppStatus{
		Lag: uint64(a.Undelivered) + a.Unread, Age: a.Oldest, Parked: a.Parked, Blocked: a.Blocked, InFlight: a.InFlight,
		Slots: a.Slots, Queued: a.Queued, Breaker: a.Breaker.String(),
	}
	st.State, st.Reason = a.State()
	for _, p := range a.Partitions {
		st.Places = append(st.Places, console.AppPlace{
			Partition: p.Partition, Node: p.Node, Watermark: p.Watermark, Read: p.Read, Head: p.Head, ReplayUntil: p.ReplayUntil,
			Undelivered: p.Undelivered, Age: p.Oldest,
		})
	}
	return st
}

// Steer has an order carried out, and tells wrong input from failure.
func (s steering) Steer(ctx context.Context, o console.Order) error {
	err := s.remote.Steer(ctx, fanout.Order{
		Verb: o.Verb, App: o.App, Partition: o.Partition, Position: o.Position, From: o.From, Reason: "by an operator",
		Positions: o.Positions,
	})
	for _, wrong := range []error{fanout.ErrUnknownApp, fanout.ErrBeyondLog, fanout.ErrOrder} {
		if errors.Is(err, wrong) {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	if errors.Is(err, fanout.ErrNotHeld) {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return err
}
