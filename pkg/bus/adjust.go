package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// AdjustStreams alters the streams to follow the configuration in what it may
// decide later: the limits of BATON_IN and BATON_LETTERS, the age of BATON_CONTROL
// and BATON_LETTERS, the replicas of all. It is an operator's explicit wish and
// never part of a start. It returns what it changed; with any other difference
// it changes nothing and returns that. Durable on return.
func (c *Conn) AdjustStreams(ctx context.Context, cfg Config) ([]DifferenceError, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	found, err := c.findStreams(ctx)
	if err != nil {
		return nil, err
	}
	if found[StreamLog] == nil {
		return nil, fmt.Errorf("%w: %s", ErrStreamMissing, StreamLog)
	}
	id, err := identityOf(found, cfg)
	if err != nil {
		return nil, err
	}
	wanted := streamConfigs(cfg, id)
	changes, err := adjustments(found, wanted)
	if err != nil {
		return nil, err
	}
	return changes, c.alter(ctx, wanted, found, changes)
}

// adjustments returns the differences that may be changed, or those that may
// not as an error.
func adjustments(found streamSet, wanted []jetstream.StreamConfig) ([]DifferenceError, error) {
	var changes []DifferenceError
	var faults []error
	for _, want := range wanted {
		if found[want.Name] == nil {
			return nil, fmt.Errorf("%w: %s", ErrStreamMissing, want.Name)
		}
		for _, fault := range compare(want, found[want.Name].Config) {
			var d *DifferenceError
			if errors.As(fault, &d) && adjustable(d) {
				changes = append(changes, *d)
				continue
			}
			faults = append(faults, fault)
		}
	}
	return changes, errors.Join(faults...)
}

func (c *Conn) alter(ctx context.Context, wanted []jetstream.StreamConfig, found streamSet, changes []DifferenceError) error {
	for _, want := range wanted {
		if !touches(changes, want.Name) {
			continue
		}
		next := found[want.Name].Config
		next.MaxBytes, next.MaxAge, next.Replicas = want.MaxBytes, want.MaxAge, want.Replicas
		if err := c.update(ctx, next); err != nil {
			return fmt.Errorf("alter stream %s: %w", want.Name, adminError(err))
		}
	}
	return nil
}

func (c *Conn) update(ctx context.Context, cfg jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.js.UpdateStream(ctx, cfg)
	return err
}

func touches(changes []DifferenceError, stream string) bool {
	for _, d := range changes {
		if d.Stream == stream {
			return true
		}
	}
	return false
}
