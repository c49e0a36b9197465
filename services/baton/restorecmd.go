package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/roster"
)

// restoreCommand makes an installation from a backup where there is none.
type restoreCommand struct {
	Dir     string `arg:"" help:"Directory of the backup."`
	Config  string `help:"Restore what this configuration starts: its data_dir, or the NATS servers of nats.url." placeholder:"FILE"`
	DataDir string `help:"Restore into this data directory, for the embedded server." placeholder:"DIR"`
	DryRun  bool   `help:"Check the backup and the target; write nothing."`
}

// Help is the command's long text.
func (*restoreCommand) Help() string {
	return "Every file of the backup is checked before anything is written, and the target must be empty. Then start Baton as usual: it makes its store from " +
		"the log. Nothing else may run with these streams. Deliveries made after the backup are made again, and ids of then are given again to what is " +
		"decided anew: let apps forget ids they have seen since."
}

func (c *restoreCommand) Run(ctx context.Context, g *Global, s *streams) error {
	if (c.Config == "") == (c.DataDir == "") {
		return usage("say where to: either --config FILE or --data-dir DIR")
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	b, err := backup.Open(ctx, c.Dir)
	if err != nil {
		return backupFailure(err)
	}
	wanted := b.Config()
	if c.Config != "" {
		wanted = streamsOf(cfg)
	}
	if cfg.NATS.URL != "" {
		err = c.ontoServers(ctx, cfg, b, wanted)
	} else {
		err = c.intoDataDir(ctx, cfg.DataDir, b, wanted)
	}
	if err != nil {
		return backupFailure(err)
	}
	what := "restored"
	if c.DryRun {
		what = "would be restored:"
	}
	return s.manifest(g, &b.Manifest, what)
}

func (c *restoreCommand) config() (roster.Config, error) {
	if c.Config == "" {
		return roster.Config{DataDir: c.DataDir}, nil
	}
	return loadConfig(c.Config, nil, false)
}

// ontoServers restores onto NATS servers. A store of an earlier life must not be
// found by the node that starts next.
func (c *restoreCommand) ontoServers(ctx context.Context, cfg roster.Config, b *backup.Backup, wanted bus.Config) error {
	if err := b.Fits(wanted, false); err != nil {
		return err
	}
	if err := earlierLife(cfg.DataDir, "store"); err != nil {
		return err
	}
	return withServers(ctx, cfg.NATS, func(conn *bus.Conn) error {
		if c.DryRun {
			return backup.Ready(ctx, conn)
		}
		return b.Restore(ctx, conn, wanted, false)
	})
}

// restoring is where the streams are until they are whole.
const restoring = "restoring"

// intoDataDir restores into a data directory: beside the place of the streams,
// which they take in one step when they are whole and on the disk.
func (c *restoreCommand) intoDataDir(ctx context.Context, dir string, b *backup.Backup, wanted bus.Config) (err error) {
	if err := b.Fits(wanted, true); err != nil {
		return err
	}
	if err := earlierLife(dir, ""); err != nil || c.DryRun {
		return err
	}
	lock, err := embedded.LockDir(dir)
	if err != nil {
		return openFailure(err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	part := filepath.Join(dir, restoring)
	if err := os.RemoveAll(part); err != nil { // of a restore that was killed
		return err
	}
	defer func() {
		if fault := os.RemoveAll(part); fault != nil {
			err = errors.Join(err, fmt.Errorf("%s is left over, remove it: %w", part, fault))
		}
	}()
	err = withDataDir(ctx, part, false, func(conn *bus.Conn) error { return b.Restore(ctx, conn, wanted, true) })
	if err == nil {
		err = syncTree(part)
	}
	if err == nil {
		err = os.Rename(filepath.Join(part, "nats"), filepath.Join(dir, "nats"))
	}
	if err == nil {
		err = syncTree(dir)
	}
	return err
}

// earlierLife refuses a data directory that holds an entry, or with "" any that
// an installation leaves.
func earlierLife(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return codedError{exitUsage, err}
	}
	for _, e := range entries {
		switch e.Name() {
		case "LOCK", "NODE", "lost+found", restoring:
			continue
		case name:
		default:
			if name != "" {
				continue
			}
		}
		return fmt.Errorf("%w: %s holds %s: a restore needs a directory without an earlier installation", backup.ErrNotEmpty, dir, e.Name())
	}
	return nil
}

// syncTree makes everything below a directory durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f, err := os.Open(path) //nolint:gosec // our own directory, which is locked
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
