package backup

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"

	"github.com/klauspost/compress/s2"

	"github.com/baton-router/baton/pkg/bus"
)

// A file holds the messages of a stream as entries, then the entry that ends
// them, compressed with S2. Behind the head that archiveOf puts before them
// they are an archive of the NATS server (its package archive, format
// NATSARC1), which restores them with their sequences and times.
//
// An entry:
//
//	name length, uvarint
//	time, varint, nanoseconds
//	sequence, uvarint
//	length of the headers, uvarint
//	length of the body, uvarint
//	name (the subject), headers, body
const archiveMagic = "NATSARC1"

// archiveEnd is the entry that ends an archive: all of it is zero.
const archiveEnd = "\x00\x00\x00\x00\x00"

// archiveWriter writes the messages of one stream. finish ends it.
type archiveWriter struct {
	to       *s2.Writer
	head     []byte
	first    uint64
	messages uint64
}

func newArchive(w io.Writer) *archiveWriter {
	return &archiveWriter{to: s2.NewWriter(w, s2.WriterConcurrency(1))}
}

func (a *archiveWriter) write(m *bus.StoredMessage) error {
	if a.messages == 0 {
		a.first = m.Sequence
	}
	a.messages++
	a.head = appendEntry(a.head[:0], m.Subject, m.At.UnixNano(), m.Sequence, len(m.Header), len(m.Data))
	for _, part := range [][]byte{a.head, m.Header, m.Data} {
		if _, err := a.to.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func (a *archiveWriter) finish() error {
	if _, err := io.WriteString(a.to, archiveEnd); err != nil {
		return err
	}
	return a.to.Close()
}

// appendEntry appends an entry up to its headers.
func appendEntry(b []byte, name string, nanoseconds int64, sequence uint64, header, body int) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = binary.AppendVarint(b, nanoseconds)
	b = binary.AppendUvarint(b, sequence)
	b = binary.AppendUvarint(b, uint64(header))
	b = binary.AppendUvarint(b, uint64(body))
	return append(b, name...)
}

// archiveOf makes the server's archive of a file: S2 streams may follow one
// another.
func archiveOf(s *Stream, file io.Reader) (io.Reader, error) {
	state, err := json.Marshal(map[string]uint64{"messages": s.Messages, "first_seq": s.First, "last_seq": s.Last})
	if err != nil {
		return nil, err
	}
	entry := appendEntry([]byte(archiveMagic), "state.json", 0, 0, 0, len(state))
	var head bytes.Buffer
	w := s2.NewWriter(&head, s2.WriterConcurrency(1))
	if _, err := w.Write(append(entry, state...)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return io.MultiReader(&head, file), nil
}
