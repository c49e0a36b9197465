package bus

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// EnsureStreams creates the streams on first use and compares them at every
// later start; it never alters one, except that the only writer has a BATON_CURSOR
// of an earlier version take batches. It returns the identity that the streams
// carry, and from then on the Conn refuses partitions that do not exist.
//
// Errors name stream, setting, wanted, found and the way out: ErrInvalid for
// the configuration, ErrPartitionCount, ErrNewerFormat, ErrOlderFormat and
// ErrForeignStream for streams of another installation or version, ErrStreamMissing when a stream is gone while
// the others hold messages, ErrStreamDiffers (all differences at once),
// ErrServer for a server that cannot carry the streams, ErrBundled, ErrDamaged
// when the newest message cannot be read, ErrUnavailable when the server does
// not answer a question within
// Options.Timeout: ask again.
func (c *Conn) EnsureStreams(ctx context.Context, cfg Config) (Identity, error) {
	if err := cfg.Validate(); err != nil {
		return Identity{}, err
	}
	if err := c.checkServer(); err != nil {
		return Identity{}, err
	}
	found, err := c.findStreams(ctx)
	if err != nil {
		return Identity{}, err
	}
	id, err := identityOf(found, cfg)
	if err != nil {
		return Identity{}, err
	}
	id, found, err = c.createMissing(ctx, cfg, id, found)
	if err != nil {
		return Identity{}, err
	}
	if err := compareAll(found, streamConfigs(cfg, id), id, cfg); err != nil {
		return Identity{}, err
	}
	if err := c.allowBatches(ctx, found[StreamCursor].Config); err != nil {
		return Identity{}, err
	}
	c.partitions.Store(int64(id.Partitions))
	return id, c.openWriters(ctx, id.Partitions)
}

// openWriters begins to write bundles when this Conn is the only writer, and
// else refuses streams that hold any.
func (c *Conn) openWriters(ctx context.Context, partitions int) (err error) {
	switch {
	case !c.sole:
		err = c.checkPlain(ctx)
		c.plain.Store(err == nil)
		return err
	case c.logWriter != nil:
		return nil
	}
	if c.logWriter, err = c.gather(ctx, c.logs, StreamLog, subjectLog, partitions); err != nil {
		return err
	}
	c.inWriter, err = c.gather(ctx, c.inputs, StreamInbound, subjectInbound, partitions)
	return err
}

// checkPlain refuses streams with bundles.
func (c *Conn) checkPlain(ctx context.Context) error {
	for stream, prefix := range map[string]string{StreamLog: subjectLog, StreamInbound: subjectInbound} {
		switch m, err := c.read(ctx, stream, get{Last: prefix + bundled}); {
		case err == nil:
			return fmt.Errorf("%w: %s holds a message of several partitions at sequence %d: start Baton with its embedded server "+
				"on that data directory, or begin a new installation", ErrBundled, stream, m.Sequence)
		case !errors.Is(err, ErrNoMessage):
			return err
		}
	}
	return nil
}

// streamSet is the streams that exist, by name.
type streamSet map[string]*jetstream.StreamInfo

func (c *Conn) findStreams(ctx context.Context) (streamSet, error) {
	found := streamSet{}
	for _, name := range streamNames() {
		stream, err := c.lookup(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", name, adminError(err))
		}
		found[name] = stream.CachedInfo()
	}
	return found, nil
}

// lookup asks for a stream. A cluster without a leader does not answer: the
// question must end before ctx does, so that it can be asked again.
func (c *Conn) lookup(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return c.js.Stream(ctx, name)
}

// identityOf returns the identity of the streams that exist, or a new one when
// none does.
func identityOf(found streamSet, cfg Config) (Identity, error) {
	if len(found) == 0 {
		id := Identity{Partitions: cfg.Partitions, Format: Format}
		_, err := rand.Read(id.BatonID[:])
		return id, err
	}
	if err := checkComplete(found, cfg); err != nil {
		return Identity{}, err
	}
	for _, name := range streamNames() { // the log first
		if found[name] != nil {
			return checkIdentity(found[name], cfg)
		}
	}
	return Identity{}, nil // cannot be: found is not empty
}

// checkComplete refuses to create a stream beside others that hold messages:
// it was there, and what it held is needed.
func checkComplete(found streamSet, cfg Config) error {
	used := ""
	for name, info := range found {
		if info.State.LastSeq > 0 {
			used = name
		}
	}
	for _, want := range streamConfigs(cfg, Identity{}) {
		if found[want.Name] == nil && used != "" && !addedLater(want.Name) {
			return fmt.Errorf("%w: %s is gone although %s has been written: restore it from a backup, "+
				"or remove all BATON_ streams to begin a new installation", ErrStreamMissing, want.Name, used)
		}
	}
	return nil
}

// addedLater reports whether installations were made before there was this
// stream: they get it at a start.
func addedLater(stream string) bool { return stream == StreamLetters || stream == StreamSnapshots }

// checkIdentity reads a stream's metadata and refuses other installations.
func checkIdentity(info *jetstream.StreamInfo, cfg Config) (Identity, error) {
	name, meta := info.Config.Name, info.Config.Metadata
	if meta[metaID] == "" {
		return Identity{}, fmt.Errorf("%w: stream %s was not made by Baton (metadata %s: found none): "+
			"use another NATS account, or remove the stream", ErrForeignStream, name, metaID)
	}
	format, err := strconv.Atoi(meta[metaFormat])
	if err != nil || format < 1 {
		return Identity{}, fmt.Errorf("%w: stream %s, metadata %s: found %q, wanted %d: restore the stream's metadata",
			ErrForeignStream, name, metaFormat, meta[metaFormat], Format)
	}
	if format > Format {
		return Identity{}, fmt.Errorf("%w: stream %s, metadata %s: found %d, wanted at most %d: start the Baton version "+
			"that wrote it, or a newer one", ErrNewerFormat, name, metaFormat, format, Format)
	}
	if format < Format {
		return Identity{}, fmt.Errorf("%w: stream %s, metadata %s: found %d, wanted %d: stop every node, keep a copy of the data, "+
			"then run baton doctor --repair --config FILE once", ErrOlderFormat, name, metaFormat, format, Format)
	}
	partitions, err := strconv.Atoi(meta[metaPartitions])
	if err != nil || partitions != cfg.Partitions {
		return Identity{}, fmt.Errorf("%w: stream %s, metadata %s: found %q, wanted %d: set partitions back, "+
			"or begin a new installation and replay into it", ErrPartitionCount, name, metaPartitions, meta[metaPartitions], cfg.Partitions)
	}
	id := Identity{Partitions: partitions, Format: format}
	if n, err := hex.Decode(id.BatonID[:], []byte(meta[metaID])); err != nil || n != len(id.BatonID) || len(meta[metaID]) != 2*n {
		return Identity{}, fmt.Errorf("%w: stream %s, metadata %s: found %q, wanted 32 hexadecimal digits: "+
			"restore the stream's metadata", ErrForeignStream, name, metaID, meta[metaID])
	}
	return id, nil
}

// createMissing creates what does not exist. When another node is faster with
// the log, the log's identity is taken over from it.
func (c *Conn) createMissing(ctx context.Context, cfg Config, id Identity, found streamSet) (Identity, streamSet, error) {
	for _, name := range streamNames() {
		if found[name] != nil {
			continue
		}
		info, err := c.create(ctx, wantedStream(cfg, id, name))
		if err != nil {
			return id, nil, err
		}
		found[name] = info
		if name != StreamLog {
			continue
		}
		if id, err = checkIdentity(info, cfg); err != nil {
			return id, nil, err
		}
	}
	return id, found, nil
}

func wantedStream(cfg Config, id Identity, name string) jetstream.StreamConfig {
	for _, want := range streamConfigs(cfg, id) {
		if want.Name == name {
			return want
		}
	}
	return jetstream.StreamConfig{}
}

// create creates a stream, or returns the one that another node has created in
// the meantime.
func (c *Conn) create(ctx context.Context, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	try, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	stream, err := c.js.CreateStream(try, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		if stream, err = c.lookup(ctx, want.Name); errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("create stream %s: %w: another node is creating it", want.Name, ErrUnavailable)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create stream %s: %w", want.Name, Config{Replicas: want.Replicas}.explain(adminError(err)))
	}
	return stream.CachedInfo(), nil
}

// adminError adds our class to an error of the JetStream API.
func adminError(err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		own := &apiError{Code: api.Code, ErrCode: int(api.ErrorCode), Description: api.Description}
		if own.class() != nil {
			return own
		}
		return err
	}
	return callError(err)
}
