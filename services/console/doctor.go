package console

import (
	"context"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// Doctor looks for what is missing, here and on the platform.
func (s *Service) Doctor(ctx context.Context, _ *connect.Request[adminv1.DoctorRequest]) (*connect.Response[adminv1.DoctorResponse], error) {
	if _, err := need(ctx, RoleViewer); err != nil {
		return nil, err
	}
	return connect.NewResponse(s.deps.Doctor(ctx)), nil
}
