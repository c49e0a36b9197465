package bus

import "context"

// Reconnect breaks all connections, for tests; they come back by themselves.
func (c *Conn) Reconnect() error {
	for _, nc := range []*link{c.logs, c.work, c.reads} {
		if err := nc.ForceReconnect(); err != nil {
			return err
		}
	}
	return nil
}

// Gathered is how many parts wait for the log's next bundle, for tests.
func (c *Conn) Gathered() int {
	g := c.logWriter
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.mu.queue) == 0 {
		return 0
	}
	return len(g.mu.queue[0].parts)
}

// Reached waits until somebody answers pulls, for tests.
func (c *Conn) Reached(ctx context.Context, pulls string) error { return c.reads.reached(ctx, pulls) }
