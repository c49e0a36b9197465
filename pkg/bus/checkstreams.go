package bus

import (
	"context"
	"fmt"
)

// CheckStreams compares the streams with the configuration and changes nothing.
// The errors are those of EnsureStreams; a stream that is not there is
// ErrStreamMissing.
func (c *Conn) CheckStreams(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	found, err := c.findStreams(ctx)
	if err != nil {
		return err
	}
	for _, name := range streamNames() {
		if found[name] == nil {
			return fmt.Errorf("%w: %s", ErrStreamMissing, name)
		}
	}
	id, err := identityOf(found, cfg)
	if err != nil {
		return err
	}
	return compareAll(found, streamConfigs(cfg, id), id, cfg)
}
