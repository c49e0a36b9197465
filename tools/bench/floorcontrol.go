package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/baton-router/baton/tools/bench/proc"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// controlFloors puts the load of control on servers that decide nothing: one
// answers at once, one after a synced append that all who wait share. What the
// load and HTTP take of the machine, no router has.
func (b *bench) controlFloors(ctx context.Context) error {
	dir, err := filepath.Abs(b.options.out)
	if err != nil {
		return err
	}
	for name, order := range map[string]floorOrder{
		"constant answer": {Do: "serve constant"},
		"synced append":   {Do: "serve appended", Dir: dir},
	} {
		if err := b.controlFloor(ctx, name, order); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (b *bench) controlFloor(ctx context.Context, name string, order floorOrder) error {
	return withFloor(ctx, func(server *proc.Child) error {
		at, err := proc.Call[floorResult](server, order)
		if err != nil {
			return err
		}
		before, err1 := server.Usage()
		r, used, err2 := callFrom(ctx, graphCalls(at.Host, b.size))
		after, err3 := server.Usage()
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		figure := "control/floor, " + name
		b.noteCalls(figure, r, after.Since(before))
		b.note(figure+"/CPU per change of the load", report.Micros, perEvent(used, int(r.Calls)))
		return nil
	})
}

// overFloors notes how the changes of a router compare with the floors of the
// same round.
func (b *bench) overFloors(r traffic.CallResult) {
	for _, name := range []string{"constant answer", "synced append"} {
		floor := b.report.Figure("control/floor, " + name + "/changes").Rounds[b.round]
		b.note("control/changes over the floor, "+name, report.Times, perSecond(int(r.Calls), r.Took)/floor)
	}
}

// callFrom changes control from a process of its own, and says what that used.
func callFrom(ctx context.Context, spec traffic.CallSpec) (r traffic.CallResult, used proc.Usage, err error) {
	c, err := proc.StartChild(ctx, childWord, "calls")
	if err != nil {
		return r, used, err
	}
	before, err1 := c.Usage()
	r, err2 := proc.Call[traffic.CallResult](c, spec)
	after, err3 := c.Usage()
	return r, after.Since(before), errors.Join(err1, err2, err3, c.Stop())
}
