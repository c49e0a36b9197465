package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

// backupCommand takes a backup: of the running server, through its admin
// listener; of NATS servers, without any Baton; or of a stopped server's data
// directory.
type backupCommand struct {
	Dir     string `arg:"" help:"Directory to write: empty, or not there yet."`
	Config  string `help:"Read the NATS servers of this configuration (nats.url); no Baton need run." placeholder:"FILE"`
	DataDir string `help:"Read the data directory of a stopped server." placeholder:"DIR"`
	Mend    bool   `help:"Put in what the servers cannot read of the log any more, out of a stopped node's store."`
	// AcceptLoss is a sequence of BATON_LOG; see backup.Mended.
	AcceptLoss uint64 `help:"With --mend: the newest message may come from the store alone; its sequence, as the refusal says." placeholder:"SEQUENCE"`
	DryRun     bool   `help:"Say what would be read; write nothing."`
}

// Help is the command's long text.
func (*backupCommand) Help() string {
	return "What was acknowledged before the command began is in the backup, and nothing in it refers to what is not. It holds the streams: " +
		"the log, the input, the control-change topic, cursors, dead letters and the roster with its secrets. The store is left out, since it is made " +
		"from the log, and so are delivery logs. DIR gets its name when everything in it is on the disk.\n\n" +
		"With --mend and every node stopped, records of the log whose bytes are damaged on the servers are taken from the store in the data " +
		"directory, and the log is proven to be whole with them, or there is no backup. Restored, nothing is lost."
}

func (c *backupCommand) Run(ctx context.Context, g *Global, s *streams) error {
	if c.Config != "" && c.DataDir != "" {
		return usage("--config and --data-dir exclude each other")
	}
	if c.Mend && c.running() {
		return usage("--mend needs a stopped node's store: stop every node, then name --config or --data-dir")
	}
	if c.DryRun {
		if err := backup.Vacant(c.Dir); err != nil {
			return backupFailure(err)
		}
		m, err := c.plan(ctx, g)
		if err != nil {
			return backupFailure(err)
		}
		return s.manifest(g, &m, "would be read of")
	}
	d, err := backup.NewDirectory(c.Dir)
	if err != nil {
		return backupFailure(err)
	}
	m, mended, err := c.take(ctx, g, d.Create)
	if err == nil {
		err = d.Commit(&m)
	}
	if err = errors.Join(err, d.Abandon()); err != nil {
		return backupFailure(err)
	}
	if err := s.manifest(g, &m, "backup of"); err != nil || !c.Mend || g.Output == "json" {
		return err
	}
	_, err = fmt.Fprintf(s.out, "messages of the log put in out of the store: %d\n", mended)
	return err
}

// take writes the files of the backup. mended counts the messages that came out of
// the store.
func (c *backupCommand) take(ctx context.Context, g *Global, create backup.Create) (m backup.Manifest, mended int, err error) {
	if c.running() {
		m, err = receiveBackup(ctx, g, create)
		return m, 0, err
	}
	err = c.withStreams(ctx, func(conn *bus.Conn, dir string) error {
		if c.Mend {
			m, mended, err = c.takeMended(ctx, conn, dir, create)
		} else {
			m, err = backup.Take(ctx, conn, Version, create)
		}
		return err
	})
	return m, mended, err
}

// takeMended makes the log whole with the store in a data directory.
func (c *backupCommand) takeMended(ctx context.Context, conn *bus.Conn, dir string, create backup.Create) (m backup.Manifest, mended int, err error) {
	db, err := openOffline(dir)
	if err != nil {
		return m, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	partitions, err := db.Partitions()
	if err != nil {
		return m, 0, err
	}
	from := &backup.Mended{Source: conn, AcceptLoss: c.AcceptLoss}
	for _, p := range partitions {
		part, err := db.Partition(p)
		if err != nil {
			return m, 0, err
		}
		from.Kept = append(from.Kept, keptOf(p, part))
	}
	m, err = backup.Take(ctx, from, Version, create)
	return m, from.Messages, err
}

// keptOf are the records that the store has of a partition.
func keptOf(p int, part *store.Partition) iter.Seq2[backup.Record, error] {
	return func(yield func(backup.Record, error) bool) {
		for stored, err := range part.Records(1) {
			if !yield(backup.Record{Partition: p, Sequence: stored.Sequence, Raw: stored.Raw}, err) {
				return
			}
		}
	}
}

func (c *backupCommand) plan(ctx context.Context, g *Global) (m backup.Manifest, err error) {
	if c.running() {
		return receive(ctx, g, &adminv1.BackupRequest{DryRun: true}, nil)
	}
	err = c.withStreams(ctx, func(conn *bus.Conn, _ string) error {
		m, err = backup.Plan(ctx, conn, Version)
		return err
	})
	return m, err
}

// running: the running server is asked.
func (c *backupCommand) running() bool { return c.Config == "" && c.DataDir == "" }

// withStreams calls fn with a connection to the streams that are read from
// here, and this node's data directory.
func (c *backupCommand) withStreams(ctx context.Context, fn func(conn *bus.Conn, dir string) error) error {
	dir := c.DataDir
	if c.Config != "" {
		cfg, err := loadConfig(c.Config, nil, false)
		if err != nil {
			return err
		}
		if cfg.NATS.URL != "" {
			return withServers(ctx, cfg.NATS, func(conn *bus.Conn) error { return fn(conn, cfg.DataDir) })
		}
		dir = cfg.DataDir
	}
	_, err := os.Stat(filepath.Join(dir, "nats"))
	if errors.Is(err, fs.ErrNotExist) {
		return usage("%s holds no streams: name the data directory of a stopped server", dir)
	}
	if err != nil {
		return err
	}
	return withDataDir(ctx, dir, true, func(conn *bus.Conn) error { return fn(conn, dir) })
}

// withServers calls fn with a connection to existing NATS servers.
func withServers(ctx context.Context, c roster.NATS, fn func(*bus.Conn) error) error {
	options, err := serversOf(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return codedError{exitUsage, err}
	}
	conn, err := bus.Dial(ctx, options)
	if err != nil {
		return codedError{exitNotServed, err}
	}
	defer conn.Close()
	return fn(conn)
}

// withDataDir calls fn with a connection to an embedded server on a data
// directory that no other process uses.
func withDataDir(ctx context.Context, dir string, sync bool, fn func(*bus.Conn) error) error {
	server, err := embedded.Start(embedded.Options{Dir: dir, Sync: sync})
	if err != nil {
		return openFailure(err)
	}
	defer server.Stop()
	conn, err := bus.Dial(ctx, bus.Options{InProcess: server, User: server.User(), Password: server.Password()})
	if err != nil {
		return err
	}
	defer conn.Close()
	return fn(conn)
}

// receiveBackup has the running server send a backup.
func receiveBackup(ctx context.Context, g *Global, create backup.Create) (backup.Manifest, error) {
	var name string
	var file io.WriteCloser
	next := func(piece *adminv1.BackupResponse) (err error) {
		if piece.GetFile() != name || file == nil {
			if file != nil {
				err = file.Close()
			}
			if err == nil {
				name = piece.GetFile()
				file, err = create(name)
			}
		}
		if err == nil {
			_, err = file.Write(piece.GetData())
		}
		return err
	}
	m, err := receive(ctx, g, &adminv1.BackupRequest{}, next)
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	return m, err
}

// receive calls next with every piece that the running server sends, and returns
// the manifest that it ends with.
func receive(ctx context.Context, g *Global, req *adminv1.BackupRequest, next func(*adminv1.BackupResponse) error) (backup.Manifest, error) {
	stream, err := g.admin().Backup(ctx, connect.NewRequest(req))
	if err != nil {
		return backup.Manifest{}, err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if raw := stream.Msg().GetManifest(); len(raw) > 0 {
			return backup.ParseManifest(raw)
		}
		if err := next(stream.Msg()); err != nil {
			return backup.Manifest{}, err
		}
	}
	return backup.Manifest{}, errors.Join(errors.New("the server ended the backup before it was whole"), stream.Err())
}

// backupFailure says what the operator can mend.
func backupFailure(err error) error {
	for _, mine := range []error{backup.ErrNotEmpty, backup.ErrNoBackup, backup.ErrNewerFormat, backup.ErrMismatch, backup.ErrNotMended} {
		if errors.Is(err, mine) {
			return codedError{exitUsage, err}
		}
	}
	var coded codedError
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, bus.ErrUnavailable):
		return codedError{exitNotServed, err}
	}
	return openFailure(err)
}

// manifest prints what a backup holds.
func (s *streams) manifest(g *Global, m *backup.Manifest, what string) error {
	if g.Output == "json" {
		raw, err := json.MarshalIndent(m, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(s.out, string(raw))
		}
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	row(w, "STREAM", "MESSAGES", "FIRST", "LAST", "BYTES")
	for _, stream := range m.Streams {
		row(w, stream.Name, strconv.FormatUint(stream.Messages, 10), strconv.FormatUint(stream.First, 10),
			strconv.FormatUint(stream.Last, 10), strconv.FormatInt(stream.Bytes, 10))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.out, "%s %s: %d partitions, %d bytes, taken %s\n", what, m.BatonID, m.Partitions, m.Size(), m.Began.Format("2006-01-02T15:04:05Z"))
	return err
}
