package bus

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// RaiseFormat makes streams of an earlier format ours, and returns the formats
// that it found below ours, by stream: what is in them is read as it is, so only
// their metadata changes. A build that knows only the earlier format refuses them
// from then on. It is an operator's explicit wish and never part of a start; no
// node may run meanwhile. With dry set nothing is changed. Durable on return; one
// that was interrupted is repeated. The errors are those of EnsureStreams;
// streams that do not exist are left out.
func (c *Conn) RaiseFormat(ctx context.Context, cfg Config, dry bool) (older map[string]int, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	found, err := c.findStreams(ctx)
	if err != nil {
		return nil, err
	}
	older = map[string]int{}
	for _, name := range streamNames() {
		info := found[name]
		if info == nil {
			continue
		}
		format, err := strconv.Atoi(info.Config.Metadata[metaFormat])
		if err != nil || format < 1 || format >= Format {
			if _, err := checkIdentity(info, cfg); err != nil {
				return nil, err
			}
			continue
		}
		older[name] = format
		if err := c.raise(ctx, info.Config, cfg, dry); err != nil {
			return nil, err
		}
	}
	return older, nil
}

// raise raises the format of one stream, if it is otherwise ours.
func (c *Conn) raise(ctx context.Context, stream jetstream.StreamConfig, cfg Config, dry bool) error {
	stream.Metadata = maps.Clone(stream.Metadata)
	stream.Metadata[metaFormat] = strconv.Itoa(Format)
	if _, err := checkIdentity(&jetstream.StreamInfo{Config: stream}, cfg); err != nil || dry {
		return err
	}
	if err := c.update(ctx, stream); err != nil {
		return fmt.Errorf("raise the format of stream %s: %w", stream.Name, adminError(err))
	}
	return nil
}
