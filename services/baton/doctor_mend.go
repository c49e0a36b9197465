package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/pkg/store"
)

// Repairs of a stopped node.
const (
	wayMoveStore   = "move-store"
	wayRaiseFormat = "raise-format"
)

// mend repairs the data of a stopped node: a store that cannot be opened or read
// is moved aside, and the next start rebuilds it from the log. Nothing is ever
// removed.
func (c *doctorCommand) mend(ctx context.Context, g *Global, s *streams) (err error) {
	cfg, err := loadConfig(c.Config, nil, false)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return usage("data_dir: %w", err)
	}
	resp := &adminv1.RepairResponse{}
	book := newRepairBook(cfg.DataDir, cfg.Node)
	if err := c.raiseFormat(ctx, cfg, book, resp); err != nil {
		return openFailure(err)
	}
	lock, err := embedded.LockDir(cfg.DataDir)
	if err != nil {
		return usage("%w: --repair --config is for a stopped node; of a running one, baton doctor --repair repairs partitions", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	dir := filepath.Join(cfg.DataDir, "store")
	fault := readStore(ctx, dir)
	switch {
	case c.MoveStore && !errors.Is(fault, store.ErrNoStore):
		fault = errors.Join(errAsked, fault)
	case errors.Is(fault, store.ErrNoStore):
		fault = nil
	case fault != nil && !store.IsDamaged(fault):
		return codedError{exitFailure, fault}
	}
	if fault != nil {
		step, err := moveStore(book, dir, fault, c.DryRun)
		if err != nil {
			return err
		}
		resp.Steps = append(resp.Steps, step)
	}
	return printRepair(g, s, resp, c.DryRun)
}

// whoIsHere is who repairs without a server.
func whoIsHere() string {
	if user := os.Getenv("USER"); user != "" {
		return "local " + user
	}
	return "local"
}

// raiseFormat makes streams of an earlier format ones of this version.
func (c *doctorCommand) raiseFormat(ctx context.Context, cfg roster.Config, book *repairBook, resp *adminv1.RepairResponse) (err error) {
	n := &node{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	defer func() { err = errors.Join(err, n.close()) }()
	options, err := n.busOptions()
	if err != nil {
		return err
	}
	conn, err := bus.Dial(ctx, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	older, err := conn.RaiseFormat(ctx, n.streamConfig(), true)
	if err != nil || len(older) == 0 {
		return err
	}
	step := &adminv1.RepairStep{
		Partition: -1, Damage: "older-format", Way: wayRaiseFormat,
		What: fmt.Sprintf("the streams' format is raised to %d; an older Baton refuses them from then on", bus.Format),
	}
	resp.Steps = append(resp.Steps, step)
	if c.DryRun {
		return nil
	}
	if err := book.write(whoIsHere(), step, repairBegun); err != nil {
		return err
	}
	if _, err := conn.RaiseFormat(ctx, n.streamConfig(), false); err != nil {
		return errors.Join(err, book.write(whoIsHere(), step, err.Error()))
	}
	return book.write(whoIsHere(), step, repairDone)
}

// errAsked is why a store is moved that may be well.
var errAsked = errors.New("--move-store")

// readStore reads everything in a store.
func readStore(ctx context.Context, dir string) error {
	db, err := store.Open(store.Options{Dir: dir, ReadOnly: true})
	if err != nil {
		return err
	}
	found, err := db.Partitions()
	for _, p := range found {
		if err == nil {
			err = readPartition(ctx, db, p)
		}
	}
	return errors.Join(err, db.Close())
}

func readPartition(ctx context.Context, db *store.Store, p int) error {
	part, err := db.Partition(p)
	if err != nil {
		return err
	}
	for _, err := range part.Records(1) {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	_, err = part.Digest()
	return err
}

// moveStore moves a store aside, under a name that says since when.
func moveStore(book *repairBook, dir string, why error, dry bool) (*adminv1.RepairStep, error) {
	aside := dir + ".damaged-" + time.Now().UTC().Format("20060102T150405")
	step := &adminv1.RepairStep{
		Partition: -1, Damage: "store", Way: wayMoveStore,
		What: fmt.Sprintf("the store is moved to %s and rebuilt from the log at the next start: %v", filepath.Base(aside), why),
	}
	if dry {
		return step, nil
	}
	who := whoIsHere()
	if err := book.write(who, step, repairBegun); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Rename(dir, aside), syncDir(filepath.Dir(dir))); err != nil {
		return nil, errors.Join(err, book.write(who, step, err.Error()))
	}
	return step, book.write(who, step, repairDone)
}
