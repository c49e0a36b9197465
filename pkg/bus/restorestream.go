package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How a stream is restored.
const (
	restoreChunk  = 256 << 10
	restoreWithin = time.Minute // for one chunk, and for the end
	replicaPoll   = 200 * time.Millisecond
)

// restoresSince is the NATS version whose servers read the archives that
// RestoreStream sends.
const restoresSince = "2.15"

// Installed returns the identity of the installation whose streams the server
// has and the settings they were made with. It changes nothing. Errors:
// ErrStreamMissing when one is not there, and those of EnsureStreams.
func (c *Conn) Installed(ctx context.Context) (Identity, Config, error) {
	found, err := c.findStreams(ctx)
	if err != nil {
		return Identity{}, Config{}, err
	}
	for _, name := range streamNames() {
		if found[name] == nil {
			return Identity{}, Config{}, fmt.Errorf("%w: %s", ErrStreamMissing, name)
		}
	}
	var cfg Config
	cfg.Partitions, _ = strconv.Atoi(found[StreamLog].Config.Metadata[metaPartitions])
	id, err := checkIdentity(found[StreamLog], cfg)
	if err != nil {
		return id, cfg, err
	}
	cfg.Replicas = found[StreamLog].Config.Replicas
	cfg.InboundBytes = max(0, found[StreamInbound].Config.MaxBytes)
	cfg.ControlAge = found[StreamControl].Config.MaxAge
	cfg.LettersAge, cfg.LettersBytes = found[StreamLetters].Config.MaxAge, max(0, found[StreamLetters].Config.MaxBytes)
	for _, name := range streamNames() {
		if other, err := checkIdentity(found[name], cfg); err != nil || other != id {
			return id, cfg, errors.Join(err, fmt.Errorf("%w: streams %s and %s", ErrForeignStream, StreamLog, name))
		}
	}
	return id, cfg, nil
}

// Occupied lists the streams on the server whose names are Baton's, those of
// its object stores included.
func (c *Conn) Occupied(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var taken []string
	names := c.js.StreamNames(ctx)
	for name := range names.Name() {
		if strings.HasPrefix(strings.TrimPrefix(name, "OBJ_"), "BATON_") {
			taken = append(taken, name)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", adminError(err))
	}
	return taken, nil
}

// CanRestore reports as an ErrServer why the server cannot restore streams.
func (c *Conn) CanRestore() error {
	if v := c.work.ConnectedServerVersion(); !atLeast(v, restoresSince) {
		return fmt.Errorf("%w: it is version %s, streams are restored by %s or newer: upgrade the servers", ErrServer, v, restoresSince)
	}
	return c.checkServer()
}

// atLeast compares major and minor version.
func atLeast(version, wanted string) bool {
	var have, want [2]int
	_, err := fmt.Sscanf(version, "%d.%d", &have[0], &have[1])
	_, _ = fmt.Sscanf(wanted, "%d.%d", &want[0], &want[1]) // a constant
	return err == nil && (have[0] > want[0] || have[0] == want[0] && have[1] >= want[1])
}

// RestoreStream makes a stream with the messages of an archive in the server's
// own format, each with the sequence and time it had, and waits until all
// replicas have it. The stream must not exist. Durable on return as the server
// is. After an error the stream is not there, or the error says that it is left
// over.
func (c *Conn) RestoreStream(ctx context.Context, cfg Config, id Identity, name string, extent Extent, archive io.Reader) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	request := struct {
		Config jetstream.StreamConfig `json:"config"`
		State  struct{}               `json:"state"`
	}{Config: wantedStream(cfg, id, name)}
	if request.Config.Name == "" {
		return fmt.Errorf("%w: no stream of Baton is called %q", ErrInvalid, name)
	}
	var response struct {
		Subject string `json:"deliver_subject"`
	}
	if err := c.call(ctx, "STREAM.RESTORE."+name, request, &response); err != nil {
		return fmt.Errorf("restore %s: %w", name, err)
	}
	err := c.sendArchive(ctx, response.Subject, archive)
	if err == nil {
		err = c.checkRestored(ctx, name, extent)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("restore %s: %w", name, err), c.undoRestore(ctx, response.Subject, name))
	}
	return nil
}

// undoRestore ends a restore that failed and removes its stream, whatever became
// of its context.
func (c *Conn) undoRestore(ctx context.Context, subject, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreWithin)
	defer cancel()
	// The end of the archive in its middle makes the server give up at once; it
	// may have done so already and not answer.
	end, done := context.WithTimeout(ctx, time.Second)
	defer done()
	_ = c.sendChunk(end, subject, nil)
	return c.DropStream(ctx, name)
}

// sendArchive sends an archive piece by piece; the empty one ends it.
func (c *Conn) sendArchive(ctx context.Context, subject string, archive io.Reader) error {
	chunk := make([]byte, restoreChunk)
	for {
		n, err := io.ReadFull(archive, chunk)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if err := c.sendChunk(ctx, subject, chunk[:n]); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

func (c *Conn) sendChunk(ctx context.Context, subject string, chunk []byte) error {
	ctx, cancel := context.WithTimeout(ctx, restoreWithin)
	defer cancel()
	reply, err := c.work.request(ctx, &nats.Msg{Subject: subject, Data: chunk})
	if err != nil {
		return callError(err)
	}
	if len(reply.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("unreadable answer: %w", err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// checkRestored waits for the replicas of a restored stream, and compares it
// with what it must hold.
func (c *Conn) checkRestored(ctx context.Context, name string, want Extent) error {
	ctx, cancel := context.WithTimeout(ctx, restoreWithin)
	defer cancel()
	for {
		stream, err := c.lookup(ctx, name)
		if err == nil && replicated(stream.CachedInfo().Cluster) {
			return compareRestored(stream.CachedInfo().State, name, want)
		}
		if !pause(ctx, replicaPoll) {
			return fmt.Errorf("waiting for its replicas: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// compareRestored compares what a stream holds with what it must. What has an
// age may have gone already.
func compareRestored(state jetstream.StreamState, name string, want Extent) error {
	ages := name == StreamControl || name == StreamLetters
	if state.LastSeq != want.Last || !ages && state.Msgs != want.Messages {
		return fmt.Errorf("it holds %d messages up to %d, wanted %d up to %d", state.Msgs, state.LastSeq, want.Messages, want.Last)
	}
	return nil
}

// replicated reports whether all replicas have what the leader has.
func replicated(cluster *jetstream.ClusterInfo) bool {
	if cluster == nil {
		return true
	}
	for _, r := range cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return cluster.Leader != ""
}

// DropStream removes a stream of Baton and all it holds, for a restore that
// failed. It cannot be undone.
func (c *Conn) DropStream(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("stream %s is left over, remove it (nats stream rm %s): %w", name, name, adminError(err))
	}
	return nil
}
