package console

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// Repair takes the partitions that are halted on this node back to work.
func (s *Service) Repair(ctx context.Context, req *connect.Request[adminv1.RepairRequest]) (*connect.Response[adminv1.RepairResponse], error) {
	who, err := need(ctx, RoleAdmin)
	if err != nil {
		return nil, err
	}
	if s.deps.Repair == nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("this server does not repair"))
	}
	for _, p := range req.Msg.GetPartitions() {
		if int(p) >= s.deps.Node.Partitions {
			return nil, invalid("partition %d: there are %d, numbered from 0", p, s.deps.Node.Partitions)
		}
	}
	for _, a := range req.Msg.GetAccept() {
		if int(a.GetPartition()) >= s.deps.Node.Partitions {
			return nil, invalid("partition %d: there are %d, numbered from 0", a.GetPartition(), s.deps.Node.Partitions)
		}
	}
	resp, err := s.deps.Repair(ctx, who, req.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(resp), nil
}
