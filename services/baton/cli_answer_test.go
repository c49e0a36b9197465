package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
)

// troubled is a server in a state that a healthy one cannot be brought into.
type troubled struct {
	adminv1connect.UnimplementedAdminServiceHandler
}

func (troubled) Apply(context.Context, *connect.Request[adminv1.ApplyRequest]) (*connect.Response[adminv1.ApplyResponse], error) {
	return connect.NewResponse(&adminv1.ApplyResponse{Version: 7, Changes: []string{"~ apps[1].name: a -> b"}, Missing: []uint32{3, 9}}), nil
}

func (troubled) VerifyLog(context.Context, *connect.Request[adminv1.VerifyLogRequest]) (*connect.Response[adminv1.VerifyLogResponse], error) {
	return connect.NewResponse(&adminv1.VerifyLogResponse{Faults: []string{"partition 3: hash differs"}}), nil
}

func (troubled) Replay(context.Context, *connect.Request[adminv1.ReplayRequest]) (*connect.Response[adminv1.ReplayResponse], error) {
	return connect.NewResponse(&adminv1.ReplayResponse{Differ: []uint32{3}}), nil
}

func (troubled) Operate(context.Context, *connect.Request[adminv1.OperateRequest]) (*connect.Response[adminv1.OperateResponse], error) {
	return nil, connect.NewError(connect.CodeUnavailable, errors.New("partition 3 does not answer"))
}

func (troubled) ListThreads(context.Context, *connect.Request[adminv1.ListThreadsRequest]) (*connect.Response[adminv1.ListThreadsResponse], error) {
	return nil, errors.New("first line\nsecond line")
}

func (troubled) ExportLog(_ context.Context, _ *connect.Request[adminv1.ExportLogRequest], s *connect.ServerStream[adminv1.ExportLogResponse]) error {
	return errors.Join(s.Send(&adminv1.ExportLogResponse{Record: []byte("x")}), errors.New("the disk"))
}

func TestNegativeVerdictsAreExitCode1(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(troubled{}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	d := &desk{t: t, admin: server.URL}
	file := write(t, t.TempDir(), "baton.yaml", minimal(t.TempDir(), ""))
	export := t.TempDir() + "/log"
	d.fails(exitFailure, `partitions \[3 9\] have not logged version 7 yet`, "apply -f "+file)
	d.fails(exitFailure, `the log is damaged: 1 faults`, "log verify")
	d.fails(exitFailure, `replay and store differ on partitions \[3\]`, "replay")
	d.fails(exitFailure, `^baton: partition 3 does not answer$`, "thread release 1 2")
	d.fails(exitFailure, `first line; second line`, "thread ls")
	d.fails(exitFailure, `the disk`, "log export "+export)
	d.fails(exitFailure, `the disk`, "log export "+export)
	d.fails(exitFailure, `does not know this call \(is --admin its admin listener\? sim needs`, "sim message hi")
	d.fails(exitFailure, `does not know this call`, "app ls")
}

func TestAnotherServerAtTheAddressIsSaid(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "what?", http.StatusBadRequest)
	}))
	t.Cleanup(server.Close)
	d := &desk{t: t, admin: server.URL}
	d.fails(exitFailure, `does not look like the answer of Baton's admin listener`, "thread ls")
}
