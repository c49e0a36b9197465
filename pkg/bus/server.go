package bus

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrServer is returned by EnsureStreams for a server that can never carry
// Baton's streams as it is configured; the text says which setting of the
// server to change.
var ErrServer = errors.New("bus: the NATS server is not fit for Baton")

// Error codes of the JetStream API about replicas.
const (
	codeNoPeers      = 10005
	codeNotClustered = 10074
)

// maxPayload is what a server must let pass: a record with its headers.
const maxPayload = MaxRecord + headerRoom

// checkServer compares the server's limits with what Baton writes.
func (c *Conn) checkServer() error {
	if most := c.work.MaxPayload(); most < maxPayload {
		return fmt.Errorf("%w: max_payload is %d, wanted at least %d: set max_payload: 9MB on every server and reload it",
			ErrServer, most, maxPayload)
	}
	return nil
}

// explain adds to an error of the creation of a stream what it means for the
// replicas wanted.
func (cfg Config) explain(err error) error {
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return err
	}
	switch int(api.ErrorCode) {
	case codeNotClustered:
		return fmt.Errorf("%w: %d replicas on a server that is no cluster: use durability node, or three servers: %w", ErrServer, cfg.Replicas, err)
	case codeNoPeers:
		return fmt.Errorf("%w: the cluster has not %d servers with JetStream at the moment: %w", ErrUnavailable, cfg.Replicas, err)
	}
	return err
}
