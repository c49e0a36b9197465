package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// ManifestFormat is the version of the manifest that this build writes and the
// newest that it reads.
const ManifestFormat = 1

// maxManifest bounds a manifest, in bytes.
const maxManifest = 64 << 20

var (
	// ErrNoCheckpoint says that the directory has no manifest, so that it is none, or one
	// that was not finished.
	ErrNoCheckpoint = errors.New("store: no checkpoint")
	// ErrMismatch says that files and manifest of a checkpoint contradict each other, or
	// the manifest is not as it was written. Nothing of it may be used.
	ErrMismatch = errors.New("store: checkpoint does not match its manifest")
	// ErrForeign says that the checkpoint is of another installation.
	ErrForeign = errors.New("store: checkpoint of another installation")
)

// Sum is a SHA-256, in JSON as hexadecimal digits.
type Sum [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error { return unhex(s[:], text) }

// InstallationID is the identity of an installation's streams, in JSON as
// hexadecimal digits.
type InstallationID [16]byte

// MarshalText implements encoding.TextMarshaler.
func (id InstallationID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *InstallationID) UnmarshalText(text []byte) error { return unhex(id[:], text) }

func unhex(to, text []byte) error {
	if len(text) != 2*len(to) {
		return fmt.Errorf("%d hexadecimal digits, wanted %d", len(text), 2*len(to))
	}
	_, err := hex.Decode(to, text)
	return err
}

// Origin is whose store a checkpoint is of.
type Origin struct {
	// BatonID is the identity of the streams.
	BatonID InstallationID `json:"baton_id"`
	// Partitions is the partition count of the installation.
	Partitions int `json:"partitions"`
}

// Manifest says what a checkpoint holds.
type Manifest struct {
	// Format of the manifest, Layout of the keys, Engine of the files.
	Format int `json:"format"`
	Layout int `json:"layout"`
	Engine int `json:"engine"`
	Origin
	// MadeAt is when it was made, by that node's clock.
	MadeAt control.Millis `json:"made_at_ms"`
	// Heads are where the partitions stand, by number; a partition without a
	// record has none.
	Heads []PartitionHead `json:"heads"`
	// Files are all that there are, by name.
	Files []File `json:"files"`
}

// PartitionHead is where a partition stands.
type PartitionHead struct {
	Partition int `json:"partition"`
	// Sequence is the BATON_LOG sequence of the last message applied or
	// skipped; the others are of the last record applied.
	Sequence uint64           `json:"sequence"`
	Position control.Position `json:"position"`
	Epoch    uint64           `json:"epoch"`
	Hash     Sum              `json:"hash"`
}

// File is a file of a checkpoint.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 Sum    `json:"sha256"`
}

func newManifest(of Origin) Manifest {
	return Manifest{
		Format: ManifestFormat, Layout: Format, Engine: int(formatMajorVersion), Origin: of,
		MadeAt: control.Millis(time.Now().UnixMilli()), Heads: []PartitionHead{}, Files: []File{},
	}
}

// Events is how many events the partitions have had, all together.
func (m *Manifest) Events() (total uint64) {
	for _, h := range m.Heads {
		total += uint64(h.Position)
	}
	return total
}

// Bytes is how large the files are, all together.
func (m *Manifest) Bytes() (total int64) {
	for _, f := range m.Files {
		total += f.Bytes
	}
	return total
}

// BelongsTo refuses the manifest of another installation: ErrForeign.
func (m *Manifest) BelongsTo(of Origin) error {
	switch {
	case m.BatonID != of.BatonID:
		return fmt.Errorf("%w: %x, the streams are of %x", ErrForeign, m.BatonID, of.BatonID)
	case m.Partitions != of.Partitions:
		return fmt.Errorf("%w: of %d partitions, there are %d", ErrForeign, m.Partitions, of.Partitions)
	}
	return nil
}

func (m *Manifest) file(name string) *File {
	for i := range m.Files {
		if m.Files[i].Name == name {
			return &m.Files[i]
		}
	}
	return nil
}

// sumLine begins the last line of a manifest: the SHA-256 of what is before it.
const sumLine = "sha256 "

// Encode returns the manifest as JSON with the SHA-256 of it in the last line.
func (m *Manifest) Encode() []byte {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		panic(fmt.Sprintf("store: manifest %+v: %v", *m, err)) //nolint:forbidigo // numbers and names only
	}
	text = append(text, '\n')
	sum := sha256.Sum256(text)
	return append(hex.AppendEncode(append(text, sumLine...), sum[:]), '\n')
}

// ParseManifest reads what Encode has written. The errors are ErrMismatch when
// it is not as it was written, and ErrNewerFormat.
func ParseManifest(b []byte) (m Manifest, err error) {
	text, err := checkSum(b)
	if err != nil {
		return Manifest{}, err
	}
	var head struct{ Format, Layout, Engine int }
	if err := json.Unmarshal(text, &head); err != nil {
		return Manifest{}, fmt.Errorf("%w: manifest: %w", ErrMismatch, err)
	}
	if head.Format > ManifestFormat || head.Layout > Format || head.Engine > int(formatMajorVersion) {
		return Manifest{}, fmt.Errorf("%w: formats %d, %d and %d of a checkpoint, this build knows %d, %d and %d",
			ErrNewerFormat, head.Format, head.Layout, head.Engine, ManifestFormat, Format, int(formatMajorVersion))
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("%w: manifest: %w", ErrMismatch, err)
	}
	return m, m.check()
}

// checkSum returns what the sum in the last line is of.
func checkSum(b []byte) ([]byte, error) {
	at := bytes.LastIndex(b, []byte("\n"+sumLine)) + 1
	if at == 0 || len(b) > maxManifest {
		return nil, fmt.Errorf("%w: the manifest does not end with its SHA-256", ErrMismatch)
	}
	text := b[:at]
	sum := sha256.Sum256(text)
	if string(b[at:]) != sumLine+hex.EncodeToString(sum[:])+"\n" {
		return nil, fmt.Errorf("%w: the manifest is not as it was written", ErrMismatch)
	}
	return text, nil
}

// check says whether the manifest can be one.
func (m *Manifest) check() error {
	if m.Format < 1 || m.Layout < 1 || m.Engine < 1 || m.Partitions < 1 || m.Partitions > MaxPartitions {
		return fmt.Errorf("%w: manifest of %d partitions in formats %d, %d and %d", ErrMismatch, m.Partitions, m.Format, m.Layout, m.Engine)
	}
	last := -1
	for _, h := range m.Heads {
		if h.Partition <= last || h.Partition >= m.Partitions || h.Sequence == 0 {
			return fmt.Errorf("%w: manifest of %d partitions with partition %d at sequence %d", ErrMismatch, m.Partitions, h.Partition, h.Sequence)
		}
		last = h.Partition
	}
	name := ""
	for _, f := range m.Files {
		if f.Name <= name || f.Bytes < 0 || !plainName(f.Name) {
			return fmt.Errorf("%w: manifest with file %q of %d bytes after %q", ErrMismatch, f.Name, f.Bytes, name)
		}
		name = f.Name
	}
	return nil
}

// plainName reports whether name is that of a file of the engine: nothing that
// leads out of the directory, or is Baton's own.
func plainName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return strings.Trim(name, letters) == "" && name[0] != '.' && len(name) <= 128 && name != manifestName && name != lockName
}
