package bus

// Reconnect breaks all connections, for tests; they come back by themselves.
func (c *Conn) Reconnect() error {
	for _, nc := range []*link{c.logs, c.work, c.reads} {
		if err := nc.ForceReconnect(); err != nil {
			return err
		}
	}
	return nil
}
