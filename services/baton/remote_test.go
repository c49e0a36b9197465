package main

import (
	"context"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
)

// hearsOfTheBound answers every call, and notes whether it was bounded in time.
type hearsOfTheBound struct {
	adminv1connect.UnimplementedAdminServiceHandler

	bounded map[string]bool
}

func (h hearsOfTheBound) heard(ctx context.Context, what string) { _, h.bounded[what] = ctx.Deadline() }

func (h hearsOfTheBound) Replay(ctx context.Context, _ *connect.Request[adminv1.ReplayRequest]) (*connect.Response[adminv1.ReplayResponse], error) {
	h.heard(ctx, "replay")
	return connect.NewResponse(&adminv1.ReplayResponse{}), nil
}

func (h hearsOfTheBound) VerifyLog(ctx context.Context, _ *connect.Request[adminv1.VerifyLogRequest]) (*connect.Response[adminv1.VerifyLogResponse], error) {
	h.heard(ctx, "verify")
	return connect.NewResponse(&adminv1.VerifyLogResponse{}), nil
}

func (h hearsOfTheBound) ListApps(ctx context.Context, _ *connect.Request[adminv1.ListAppsRequest]) (*connect.Response[adminv1.ListAppsResponse], error) {
	h.heard(ctx, "apps")
	return connect.NewResponse(&adminv1.ListAppsResponse{}), nil
}

// TestWhatReadsTheLogIsNotBounded: a log may take longer than any bound; what is
// asked of one thing may not. The client sends its bound to the server.
func TestWhatReadsTheLogIsNotBounded(t *testing.T) {
	t.Parallel()
	h := hearsOfTheBound{bounded: map[string]bool{}}
	_, handler := adminv1connect.NewAdminServiceHandler(h)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	g := &Global{Admin: server.URL}
	_, errReplay := g.admin().Replay(t.Context(), connect.NewRequest(&adminv1.ReplayRequest{}))
	_, errVerify := g.admin().VerifyLog(t.Context(), connect.NewRequest(&adminv1.VerifyLogRequest{}))
	_, errApps := g.admin().ListApps(t.Context(), connect.NewRequest(&adminv1.ListAppsRequest{}))
	if errReplay != nil || errVerify != nil || errApps != nil {
		t.Fatal(errReplay, errVerify, errApps)
	}
	if h.bounded["replay"] || h.bounded["verify"] || !h.bounded["apps"] {
		t.Errorf("bounded: %v, want the apps alone", h.bounded)
	}
}
