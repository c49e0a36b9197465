package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/tools/bench/report"
	"github.com/baton-router/baton/tools/bench/traffic"
)

// replay verifies and folds the log of a stopped Baton with its own commands,
// and then asks it what threads were like in the past.
func (b *bench) replay(ctx context.Context) error {
	return b.onBaton(ctx, "replay", 1, b.size.threads, setup{maxBatch: 20}, func(s *batonStage) error {
		began := time.Now()
		events := max(min(b.options.events, b.size.largest)-b.size.threads, perWarm)
		if _, err := s.play(ctx, shape{events: events, perPost: perWarm}); err != nil {
			return err
		}
		ended := time.Now()
		if err := s.baton.stop(); err != nil {
			return err
		}
		if err := b.folded(ctx, s, events+b.size.threads); err != nil {
			return err
		}
		if err := s.again(ctx, b.options.baton); err != nil {
			return err
		}
		return b.past(ctx, s, began, ended)
	})
}

// folded runs the commands that verify and fold.
func (b *bench) folded(ctx context.Context, s *batonStage, sent int) error {
	for _, c := range []struct {
		name string
		args []string
	}{{"replay/events verified", []string{"log", "verify"}}, {"replay/events folded", []string{"replay"}}} {
		args := append(c.args, "--data-dir", filepath.Join(s.dir, "data"), "-o", "json")
		command := exec.CommandContext(ctx, b.options.baton, args...) //nolint:gosec // the program that is to be measured
		began := time.Now()
		out, err := command.Output()
		took := time.Since(began)
		if err != nil {
			return fmt.Errorf("baton %v: %w", args, err)
		}
		var found struct {
			Events json.Number // protobuf writes 64-bit numbers as strings
			Equal  *bool
			Ok     *bool
		}
		if err := json.Unmarshal(out, &found); err != nil {
			return fmt.Errorf("baton %v: %w: %.200s", args, err, out)
		}
		events, err := strconv.Atoi(found.Events.String())
		if err != nil || events < sent {
			return fmt.Errorf("baton %v: %q events, %d were sent", args, found.Events, sent)
		}
		cpu := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
		b.note(c.name, report.PerSecond, perSecond(events, took))
		b.note(c.name+", CPU per event", report.Micros, float64(cpu)/float64(time.Microsecond)/float64(events))
		b.say("%-40s %8.0f /s of %d events", c.name, perSecond(events, took), events)
	}
	return nil
}

// past asks for states of random threads at random times while the log was
// written.
func (b *bench) past(ctx context.Context, s *batonStage, began, ended time.Time) error {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // which threads does not matter
	took := make([]time.Duration, 0, b.size.past)
	for range b.size.past {
		at := began.Add(time.Duration(random.Int64N(int64(ended.Sub(began)) + 1)))
		asked := time.Now()
		got, err := s.admin.ShowThread(ctx, connect.NewRequest(&adminv1.ShowThreadRequest{
			PageId: strconv.Itoa(page), UserId: strconv.Itoa(traffic.FirstPerson + random.IntN(s.threads)), At: at.UTC().Format(time.RFC3339Nano), Events: 1,
		}))
		if err != nil {
			return err
		}
		took = append(took, time.Since(asked))
		if owner := got.Msg.GetThread().GetOwner(); owner != appID(0) {
			return fmt.Errorf("state at %v: owner %q, want %q", at, owner, appID(0))
		}
	}
	if len(took) == 0 {
		return errors.New("no state of the past was asked for")
	}
	slices.Sort(took)
	b.note("replay/state at a past time/p50", report.Millis, millis(took[len(took)/2]))
	b.note("replay/state at a past time/p99", report.Millis, millis(took[len(took)*99/100]))
	b.say("%-40s p50 %.2f  p99 %.2f ms", "replay/state at a past time", millis(took[len(took)/2]), millis(took[len(took)*99/100]))
	return nil
}
