package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// streamsWithin is how long a start waits for a NATS cluster that is there but
// cannot agree yet, as it is when everything is started together.
const streamsWithin = 30 * time.Second

// streamsAttempt bounds one question of those.
const streamsAttempt = 5 * time.Second

// openBus starts the embedded server, or connects to an existing one, and
// creates or compares the streams.
func (n *node) openBus(ctx context.Context) error {
	options, err := n.busOptions()
	if err != nil {
		return err
	}
	if n.bus, err = bus.Dial(ctx, options); err != nil {
		return err
	}
	n.onClose(func() error { n.bus.Close(); return nil })
	if err := n.openStreams(ctx); err != nil || n.server == nil {
		return err
	}
	stop, err := n.bus.ServeReaders(n.server.Access())
	if err != nil {
		return err
	}
	n.onClose(func() error { stop(); return nil })
	return nil
}

// openStreams creates or compares the streams.
func (n *node) openStreams(ctx context.Context) error {
	tries := 0
	return n.patiently(ctx, func(ctx context.Context) (err error) {
		n.identity, err = n.bus.EnsureStreams(ctx, n.streamConfig())
		if tries++; errors.Is(err, bus.ErrStreamMissing) && tries < 5 {
			return fmt.Errorf("%w: %w", bus.ErrUnavailable, err) // another node may be making it
		}
		return err
	})
}

// patiently repeats one part of the start while an existing server is there and
// cannot answer. The embedded one answers at once or never.
func (n *node) patiently(ctx context.Context, open func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, streamsWithin)
	defer cancel()
	for said := false; ; said = true {
		try, done := context.WithTimeout(ctx, streamsAttempt) // a stream without a leader does not answer
		err := open(try)
		done()
		if n.server != nil || !errors.Is(err, bus.ErrUnavailable) && !errors.Is(err, bus.ErrOutcomeUnknown) {
			return err
		}
		if !said {
			n.log.Info("waiting for the NATS servers", "err", err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (n *node) streamConfig() bus.Config { return streamsOf(n.cfg) }

// streamsOf is what a configuration says about the streams.
func streamsOf(c roster.Config) bus.Config {
	replicas := 1
	if c.Durability == roster.DurabilityCluster {
		replicas = 3
	}
	return bus.Config{
		Partitions: c.Partitions, Replicas: replicas, InboundBytes: int64(c.Retention.InboundBytes),
		ControlAge: time.Duration(c.Retention.Control), LettersAge: time.Duration(c.Retention.DeadLetters),
		LettersBytes: int64(c.Retention.DeadLettersBytes),
	}
}

func (n *node) busOptions() (bus.Options, error) {
	if n.cfg.NATS.URL != "" {
		return serversOf(n.cfg.NATS, n.log)
	}
	server, err := n.startServer()
	if err != nil {
		return bus.Options{}, err
	}
	n.server = server
	n.onClose(func() error { server.Stop(); return nil })
	return bus.Options{InProcess: server, User: server.User(), Password: server.Password(), Sole: true, Logger: n.log}, nil
}

// serversOf is how existing NATS servers are reached.
func serversOf(c roster.NATS, log *slog.Logger) (bus.Options, error) {
	config, err := clientTLS(c.TLS)
	return bus.Options{
		URL: c.URL, User: c.User, Password: c.Password.Value(), CredentialsFile: c.Creds, NKeyFile: c.NKey, TLS: config, Logger: log,
	}, err
}

func (n *node) startServer() (*embedded.Server, error) {
	c := n.cfg.NATS
	config, err := serverTLS(c.TLS.Cert, c.TLS.Key, c.TLS.CA)
	if err != nil {
		return nil, err
	}
	o := embedded.Options{
		Dir: n.cfg.DataDir, Lock: n.lock, Listen: c.Listen, Sync: n.cfg.Durability != roster.DurabilityDev, TLS: config, Logger: n.log,
	}
	for _, r := range c.Readers {
		reader := embedded.Reader{Name: r.Name, Password: r.Password.Value()}
		for _, page := range r.Pages {
			id, _ := control.ParseID(page)
			reader.Pages = append(reader.Pages, id)
		}
		o.Readers = append(o.Readers, reader)
	}
	return embedded.Start(o)
}
