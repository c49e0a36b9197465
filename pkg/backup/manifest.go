package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// Format is the newest format of a backup that this Baton reads and writes.
const Format = 1

var (
	// ErrNoBackup is returned for a directory without a manifest: it is no
	// backup, or one that was never finished.
	ErrNoBackup = errors.New("backup: not a backup")

	// ErrDamaged is returned for a backup whose files are not as they were
	// written. Nothing of it may be restored.
	ErrDamaged = errors.New("backup: damaged")

	// ErrNewerFormat is returned for a backup of a newer Baton.
	ErrNewerFormat = errors.New("backup: newer format")

	// ErrNotEmpty is returned when what must be empty or absent is not: the
	// directory of a new backup, or the place that is restored onto.
	ErrNotEmpty = errors.New("backup: not empty")

	// ErrMismatch is returned for a target that cannot take the backup as it is
	// configured.
	ErrMismatch = errors.New("backup: does not fit")
)

// Manifest says what a backup holds. The JSON names are part of the format.
type Manifest struct {
	// Format of the backup.
	Format int `json:"format"`
	// BatonID, Partitions and StreamFormat are the identity of the
	// installation, which a restore keeps.
	BatonID      string `json:"baton_id"`
	Partitions   int    `json:"partitions"`
	StreamFormat int    `json:"stream_format"`
	// Version of the Baton that took it.
	Version string `json:"version"`
	// Began and Ended: everything acknowledged before Began is in it, nothing
	// from after Ended.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Bundled: messages hold several partitions, so that only an embedded
	// server can go on with the streams.
	Bundled bool `json:"bundled"`
	// Settings of the streams.
	Settings Settings `json:"settings"`
	// Streams in the order in which they were read.
	Streams []Stream `json:"streams"`
}

// Settings are those of the streams that a configuration decides. Zero means
// no bound.
type Settings struct {
	InboundBytes int64         `json:"inbound_bytes"`
	ControlAge   time.Duration `json:"control_age_ns"`
	LettersAge   time.Duration `json:"letters_age_ns"`
	LettersBytes int64         `json:"letters_bytes"`
}

// Stream is one stream of a backup, and the file that holds it.
type Stream struct {
	Name string `json:"name"`
	File string `json:"file"`
	// First and Last sequence; of an empty stream, First is Last + 1. Between
	// them, sequences may be missing.
	First    uint64 `json:"first"`
	Last     uint64 `json:"last"`
	Messages uint64 `json:"messages"`
	// Bytes and SHA256 are of the file.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Config is how the streams were made, with one replica.
func (m *Manifest) Config() bus.Config {
	return bus.Config{
		Partitions: m.Partitions, Replicas: 1, InboundBytes: m.Settings.InboundBytes, ControlAge: m.Settings.ControlAge,
		LettersAge: m.Settings.LettersAge, LettersBytes: m.Settings.LettersBytes,
	}
}

// Size is that of all files, in bytes.
func (m *Manifest) Size() (bytes int64) {
	for _, s := range m.Streams {
		bytes += s.Bytes
	}
	return bytes
}

func (m *Manifest) identity() (bus.Identity, error) {
	id := bus.Identity{Partitions: m.Partitions, Format: m.StreamFormat}
	raw, err := hex.DecodeString(m.BatonID)
	if err != nil || len(raw) != len(id.BatonID) {
		return id, fmt.Errorf("%w: baton_id %q, wanted 32 hexadecimal digits", ErrDamaged, m.BatonID)
	}
	copy(id.BatonID[:], raw)
	return id, nil
}

// sealed is a manifest as it is written: with the hash of itself.
type sealed struct {
	Manifest json.RawMessage `json:"manifest"`
	SHA256   string          `json:"sha256"`
}

// Encode writes the manifest with the hash of itself.
func (m *Manifest) Encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	whole, err := json.MarshalIndent(sealed{body, hashOf(body)}, "", "  ")
	return append(whole, '\n'), err
}

// ParseManifest reads a manifest and checks that it is whole and of a format
// that this Baton knows: ErrDamaged, ErrNewerFormat.
func ParseManifest(data []byte) (m Manifest, err error) {
	var s sealed
	var body bytes.Buffer
	if err = json.Unmarshal(data, &s); err == nil {
		err = json.Compact(&body, s.Manifest)
	}
	if err != nil {
		return m, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	var version struct{ Format int }
	if err := json.Unmarshal(body.Bytes(), &version); err != nil {
		return m, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	if hashOf(body.Bytes()) != s.SHA256 {
		return m, fmt.Errorf("%w: manifest: its hash differs", ErrDamaged)
	}
	if version.Format > Format {
		return m, fmt.Errorf("%w: %d, this Baton reads up to %d: use the version that wrote it, or a newer one", ErrNewerFormat, version.Format, Format)
	}
	if err := json.Unmarshal(body.Bytes(), &m); err != nil {
		return m, fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	if m.StreamFormat > bus.Format {
		return m, fmt.Errorf("%w: of the streams: %d, this Baton reads up to %d: use the version that wrote it, or a newer one", ErrNewerFormat, m.StreamFormat, bus.Format)
	}
	return m, m.check()
}

// check refuses what cannot have been written: another set of streams, or file
// names that lead elsewhere.
func (m *Manifest) check() error {
	if _, err := m.identity(); err != nil {
		return err
	}
	if err := m.Config().Validate(); err != nil {
		return fmt.Errorf("%w: manifest: %w", ErrDamaged, err)
	}
	names := bus.CopyOrder()
	if len(m.Streams) != len(names) {
		return fmt.Errorf("%w: manifest: %d streams, wanted %d", ErrDamaged, len(m.Streams), len(names))
	}
	for i, s := range m.Streams {
		if s.Name != names[i] || s.File != fileOf(s.Name) || s.First == 0 || s.First > s.Last+1 {
			return fmt.Errorf("%w: manifest: stream %q, file %q, %d to %d", ErrDamaged, s.Name, s.File, s.First, s.Last)
		}
	}
	return nil
}

func fileOf(stream string) string { return stream + ".s2" }

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
