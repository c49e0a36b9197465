package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// profiles of a Baton under load, each from a load of its own: none of the
// other measurements bears their cost.
var profiles = []string{"profile", "allocs", "block", "mutex"}

// profiled keeps profiles of Baton under several loads beside the results.
func (b *bench) profiled(ctx context.Context) error {
	for _, name := range b.size.profiled {
		conf := setup{maxBatch: 20}
		if name == "alone" {
			conf.maxBatch = 1
		}
		err := b.onBaton(ctx, "profile/"+name, subscribers, b.size.threads, conf, func(s *batonStage) error {
			return b.eachProfile(ctx, s, name, func(d time.Duration) error { return b.profileLoad(ctx, s, name, d) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// profileLoad puts Baton under a load for about a time.
func (b *bench) profileLoad(ctx context.Context, s *batonStage, name string, d time.Duration) (err error) {
	switch name {
	case "alone":
		_, err = s.play(ctx, shape{during: d, perPost: 1})
	case "together":
		_, err = s.play(ctx, shape{during: d, perPost: 20})
	case "control":
		calls := graphCalls(s.public, b.size)
		calls.Times, calls.For = 1000, d
		_, _, err = callFrom(ctx, calls)
	case "backlog":
		in, fault := s.hoard(ctx, d)
		if fault != nil {
			return fault
		}
		_, err = s.drain(ctx, in.events)
	default:
		err = fmt.Errorf("no load %q", name)
	}
	return err
}

// eachProfile takes one profile after the other, each while a load runs for
// about its time.
func (b *bench) eachProfile(ctx context.Context, s *batonStage, name string, load func(time.Duration) error) error {
	dir, err := b.profileFolder()
	if err != nil {
		return err
	}
	for _, kind := range profiles {
		if err := b.oneProfile(ctx, s, kind, filepath.Join(dir, name+"-"+kind), load); err != nil {
			return err
		}
	}
	b.say("%-40s %s", "profiles/"+name, filepath.Join(dir, name+"-*"))
	return nil
}

// oneProfile takes a profile while a load runs for about its time.
func (b *bench) oneProfile(ctx context.Context, s *batonStage, kind, file string, load func(time.Duration) error) error {
	taken := make(chan error, 1)
	query := fmt.Sprintf("%s?seconds=%d", kind, max(int(b.size.profile.Seconds()), 1))
	go func() { taken <- s.take(ctx, kind, query, file) }()
	if err := errors.Join(load(b.size.profile), <-taken); err != nil {
		return fmt.Errorf("profile %s: %w", file, err)
	}
	return nil
}

func (b *bench) profileFolder() (string, error) {
	dir := filepath.Join(b.options.out, "profiles")
	return dir, os.MkdirAll(dir, 0o700)
}

// take writes a profile to file.pprof, and what is at its top to file.txt where
// Go is installed.
func (b *baton) take(ctx context.Context, kind, query, file string) error {
	raw, err := b.get(ctx, "/debug/pprof/"+query)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".pprof", raw, 0o600); err != nil {
		return err
	}
	index := map[string]string{"allocs": "-sample_index=alloc_space", "block": "-sample_index=delay", "mutex": "-sample_index=delay"}[kind]
	args := []string{"tool", "pprof", "-top", "-nodecount=80"}
	if index != "" {
		args = append(args, index)
	}
	text, err := exec.CommandContext(ctx, "go", append(args, file+".pprof")...).Output() //nolint:gosec // reads what was just written
	if err != nil {
		return nil //nolint:nilerr // the profile itself is there
	}
	return os.WriteFile(file+".txt", text, 0o600)
}
