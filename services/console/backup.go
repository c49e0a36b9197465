package console

import (
	"context"
	"io"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/backup"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// backupPiece bounds the bytes of one message of a backup.
const backupPiece = 256 << 10

// Backup streams a backup of the installation's streams while it works.
func (s *Service) Backup(ctx context.Context, req *connect.Request[adminv1.BackupRequest], stream *connect.ServerStream[adminv1.BackupResponse]) error {
	who, err := need(ctx, RoleAdmin)
	if err != nil {
		return err
	}
	m, err := s.backup(ctx, req.Msg.GetDryRun(), stream)
	if err != nil {
		return err
	}
	raw, err := m.Encode()
	if err != nil {
		return err
	}
	if !req.Msg.GetDryRun() {
		s.deps.Logger.Info("backup taken", "by", who, "bytes", m.Size(), "took", m.Ended.Sub(m.Began))
	}
	return stream.Send(&adminv1.BackupResponse{Manifest: raw})
}

func (s *Service) backup(ctx context.Context, dryRun bool, stream *connect.ServerStream[adminv1.BackupResponse]) (backup.Manifest, error) {
	if dryRun {
		return backup.Plan(ctx, s.deps.Streams, s.deps.Node.Version)
	}
	return backup.Take(ctx, s.deps.Streams, s.deps.Node.Version, func(name string) (io.WriteCloser, error) {
		return &sentFile{stream, name}, nil
	})
}

// sentFile sends what is written to a file of a backup.
type sentFile struct {
	stream *connect.ServerStream[adminv1.BackupResponse]
	name   string
}

func (f *sentFile) Write(p []byte) (n int, err error) {
	for n < len(p) {
		piece := p[n:min(len(p), n+backupPiece)]
		if err := f.stream.Send(&adminv1.BackupResponse{File: f.name, Data: piece}); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

func (*sentFile) Close() error { return nil }
