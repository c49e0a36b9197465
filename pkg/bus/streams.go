package bus

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Format is the format of the streams that this Baton reads and writes: 1 before
// there were bundles, 2 since. A build that knows only an earlier one must not
// read them; RaiseFormat takes streams over from an earlier one.
const Format = 2

// Limits of one message, in bytes.
const (
	// MaxRecord bounds a message on BATON_IN and BATON_LOG. Group records stay
	// below 768 KiB and inbound batches below 512 KiB; the rest is room for a
	// single larger event.
	MaxRecord = 8 << 20
	// MaxRoster bounds one version of the roster.
	MaxRoster = 8 << 20
	// MaxBatch bounds the messages of one atomic batch, cursors included.
	MaxBatch = 1000
)

// headerRoom is what a stream's message size limit leaves for headers.
const headerRoom = 4 << 10

// Limits of Config.
const (
	maxPartitions = 4096
	maxReplicas   = 5
)

// Windows in which NATS remembers message ids. Baton relies on none; the
// topic's ids would cost memory for as long as they are remembered.
const (
	idWindow        = 2 * time.Minute
	controlIDWindow = 100 * time.Millisecond
	lettersIDWindow = 100 * time.Millisecond
)

// Keys of the metadata of every stream.
const (
	metaID         = "baton_id"
	metaPartitions = "baton_partitions"
	metaFormat     = "baton_format"
)

// Config says how the streams are created, and what they are compared with.
type Config struct {
	// Partitions of the installation, 1 to 4,096; fixed when the streams are
	// created.
	Partitions int
	// Replicas of each stream: 1 for the classes dev and node, 3 for cluster.
	Replicas int
	// InboundBytes bounds BATON_IN; 0 means no bound. A full stream refuses,
	// nothing is deleted.
	InboundBytes int64
	// ControlAge is how long control changes are kept; 0 means for ever. Less
	// than a second is refused.
	ControlAge time.Duration
	// LettersAge is how long dead letters are kept, LettersBytes bounds them:
	// the oldest go first. 0 means no bound; less than a second is refused.
	LettersAge   time.Duration
	LettersBytes int64
}

// Validate returns an ErrInvalid that names the first bad field.
func (c Config) Validate() error {
	switch {
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return fmt.Errorf("%w: %d partitions, wanted 1 to %d", ErrInvalid, c.Partitions, maxPartitions)
	case c.Replicas < 1 || c.Replicas > maxReplicas || c.Replicas%2 == 0:
		return fmt.Errorf("%w: %d replicas, wanted 1, 3 or 5", ErrInvalid, c.Replicas)
	case c.InboundBytes < 0:
		return fmt.Errorf("%w: inbound limit of %d bytes", ErrInvalid, c.InboundBytes)
	case c.ControlAge < 0 || (c.ControlAge > 0 && c.ControlAge < time.Second):
		return fmt.Errorf("%w: control changes kept for %s", ErrInvalid, c.ControlAge)
	case c.LettersBytes < 0:
		return fmt.Errorf("%w: limit of dead letters of %d bytes", ErrInvalid, c.LettersBytes)
	case c.LettersAge < 0 || (c.LettersAge > 0 && c.LettersAge < time.Second):
		return fmt.Errorf("%w: dead letters kept for %s", ErrInvalid, c.LettersAge)
	}
	return nil
}

// Identity is what all streams of an installation share, and what records,
// stores and cursors are checked against.
type Identity struct {
	// BatonID is random, made when the streams were created.
	BatonID [16]byte
	// Partitions is the partition count, fixed for ever.
	Partitions int
	// Format is the format of the streams.
	Format int
}

func (id Identity) metadata() map[string]string {
	return map[string]string{
		metaID:         hex.EncodeToString(id.BatonID[:]),
		metaPartitions: strconv.Itoa(id.Partitions),
		metaFormat:     strconv.Itoa(id.Format),
	}
}

// streamConfigs returns the wanted streams, the log first: it is the one whose
// metadata the others must share.
func streamConfigs(c Config, id Identity) []jetstream.StreamConfig {
	configs := []jetstream.StreamConfig{
		logConfig(), inboundConfig(c), controlConfig(c), cursorConfig(), rosterConfig(), lettersConfig(c), snapshotsConfig(),
	}
	for i := range configs {
		s := &configs[i]
		s.Replicas = c.Replicas
		s.Storage = jetstream.FileStorage
		s.Retention = jetstream.LimitsPolicy
		s.MaxConsumers, s.MaxMsgs = -1, -1
		s.Metadata = id.metadata()
	}
	return configs
}

// logConfig: never aged, because after the last record of a quiet partition has
// aged out no fenced publish on it can succeed any more. Rollups are for the
// barriers.
func logConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              StreamLog,
		Description:       "Baton: decided events, one subject per partition; kept for ever",
		Subjects:          []string{subjectLog + "*", subjectBarrier + "*"},
		Discard:           jetstream.DiscardNew,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        MaxRecord + headerRoom,
		Duplicates:        idWindow,
		DenyDelete:        true,
		AllowRollup:       true,
	}
}

// inboundConfig: full means refused; Baton trims it, never an age. Direct reads
// are for messages that are known to be there.
func inboundConfig(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              StreamInbound,
		Description:       "Baton: webhooks as received, one subject per partition",
		Subjects:          []string{subjectInbound + "*"},
		Discard:           jetstream.DiscardNew,
		MaxBytes:          orUnbounded(c.InboundBytes),
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        MaxRecord + headerRoom,
		Duplicates:        idWindow,
		DenyDelete:        true,
		AllowDirect:       true,
	}
}

// controlConfig: message TTLs are allowed because the cursors must outlive the
// age of the changes.
func controlConfig(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               StreamControl,
		Description:        "Baton: changes of control, for everybody downstream",
		Subjects:           []string{subjectControl + ">", subjectControlCursor + "*"},
		Discard:            jetstream.DiscardOld,
		MaxAge:             c.ControlAge,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  -1,
		MaxMsgSize:         -1,
		Duplicates:         controlIDWindow,
		AllowRollup:        true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		AllowMsgTTL:        true,
	}
}

// cursorConfig: what changes within a second is saved as one batch.
func cursorConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               StreamCursor,
		Description:        "Baton: how far deliveries have come, one subject per partition",
		Subjects:           []string{subjectCursor + "*"},
		Discard:            jetstream.DiscardOld,
		MaxBytes:           -1,
		MaxMsgsPerSubject:  1,
		MaxMsgSize:         MaxRecord + headerRoom,
		Duplicates:         idWindow,
		AllowAtomicPublish: true,
	}
}

func rosterConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              StreamRoster,
		Description:       "Baton: versions of the roster; the sequence is the version",
		Subjects:          []string{subjectRoster},
		Discard:           jetstream.DiscardNew,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        MaxRoster + headerRoom,
		Duplicates:        idWindow,
		DenyDelete:        true,
		DenyPurge:         true,
	}
}

// lettersConfig: groups of dead letters and of what became of them; readers fold
// the whole of it.
func lettersConfig(c Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              StreamLetters,
		Description:       "Baton: deliveries given up, and what operators did about them",
		Subjects:          []string{subjectLetters},
		Discard:           jetstream.DiscardOld,
		MaxAge:            c.LettersAge,
		MaxBytes:          orUnbounded(c.LettersBytes),
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        MaxRecord + headerRoom,
		Duplicates:        lettersIDWindow,
		DenyDelete:        true,
		DenyPurge:         true,
	}
}

// snapshotsConfig is what jetstream.ObjectStore makes of a bucket: chunks, and
// one message about each object.
func snapshotsConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              StreamSnapshots,
		Description:       "Baton: copies of the nodes' stores, for nodes that begin without one; the newest two",
		Subjects:          []string{subjectChunks + ">", subjectObjects + ">"},
		Discard:           jetstream.DiscardNew,
		MaxBytes:          -1,
		MaxMsgsPerSubject: -1,
		MaxMsgSize:        -1,
		Duplicates:        idWindow,
		AllowRollup:       true,
		AllowDirect:       true,
	}
}

func orUnbounded(bytes int64) int64 {
	if bytes == 0 {
		return -1
	}
	return bytes
}
