package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/store"
)

// An exported log is this line, then records: each a 4-byte big-endian length
// and as many bytes, as on the stream.
const exportHeader = "baton log export 1\n"

// logExport writes the raw records to a file.
type logExport struct {
	File      string `arg:"" help:"File to write; - for standard output."`
	Partition int32  `help:"Only this partition; -1 for all." default:"-1"`
}

func (c *logExport) Run(ctx context.Context, g *Global, s *streams) (err error) {
	stream, err := g.admin().ExportLog(ctx, connect.NewRequest(&adminv1.ExportLogRequest{Partition: c.Partition}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	to := s.out
	if c.File != "-" {
		f, fault := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if fault != nil {
			return usage("%w", fault)
		}
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				_ = os.Remove(c.File) // half an export proves nothing
			}
		}()
		to = f
	}
	w := bufio.NewWriter(to)
	if _, err := w.WriteString(exportHeader); err != nil {
		return err
	}
	for stream.Receive() {
		if err := writeRecord(w, stream.Msg().GetRecord()); err != nil {
			return err
		}
	}
	return errors.Join(stream.Err(), w.Flush())
}

func writeRecord(w io.Writer, raw []byte) error {
	size := binary.BigEndian.AppendUint32(nil, uint32(len(raw)))
	if _, err := w.Write(size); err != nil {
		return err
	}
	_, err := w.Write(raw)
	return err
}

// each calls fn with every record of NATS servers or of an exported log, whose
// memory is used again then.
func (o offline) each(ctx context.Context, fn func(*eventlog.Record) error) error {
	source := func(put func(place, []byte) error) error { return eachExported(o.File, put) }
	if o.Config != "" {
		source = func(put func(place, []byte) error) error { return eachOnServers(ctx, o.Config, put) }
	}
	return eventlog.Ahead(ctx, source, func(at place, rec *eventlog.Record, err error) error {
		if err == nil {
			err = fn(rec)
		}
		return at.fault(err)
	})
}

// place is where a record was found: in a partition of a store at a position, or
// of a stream at a sequence, or in a file, as which record and at which byte.
type place struct {
	partition int
	position  control.Position
	sequence  uint64
	file      string
	record    int
	offset    int
}

func (p place) String() string {
	if p.file != "" {
		return fmt.Sprintf("%s: record %d at byte %d", p.file, p.record, p.offset)
	}
	if p.sequence != 0 {
		return fmt.Sprintf("partition %d, sequence %d", p.partition, p.sequence)
	}
	return fmt.Sprintf("partition %d, position %d", p.partition, p.position)
}

// fault is an error of the record there; nil for nil.
func (p place) fault(err error) error {
	if errors.Is(err, eventlog.ErrNewerVersion) {
		return codedError{exitUsage, fmt.Errorf("%v: %w; nothing is known about the log from there on: use the Baton that wrote it, or a newer one", p, err)}
	}
	if err != nil {
		return fmt.Errorf("%v: %w", p, err)
	}
	return nil
}

// open opens the stopped server's store; nil when something else is to be read.
func (o offline) open() (*store.Store, error) {
	given := 0
	for _, where := range []string{o.File, o.DataDir, o.Config} {
		if where != "" {
			given++
		}
	}
	if given > 1 {
		return nil, usage("--file, --data-dir and --config exclude each other")
	}
	if o.DataDir == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	return openOffline(o.DataDir)
}

func openOffline(dir string) (*store.Store, error) {
	db, err := store.Open(store.Options{Dir: filepath.Join(dir, "store"), ReadOnly: true})
	if err != nil {
		return nil, codedError{exitUsage, fmt.Errorf("%s: %w", dir, err)}
	}
	return db, nil
}

// eachOnServers reads the log of a configuration's NATS servers, up to its end as
// it is now. Nothing is compared with the configuration: the stream may be a
// mirror.
func eachOnServers(ctx context.Context, file string, put func(place, []byte) error) error {
	cfg, err := loadConfig(file, nil, false)
	if err != nil {
		return err
	}
	if cfg.NATS.URL == "" {
		return usage("%s has no nats.url: the embedded server's log is read by the running server, or with --data-dir when it is stopped", file)
	}
	err = withServers(ctx, cfg.NATS, func(conn *bus.Conn) error {
		return conn.EachLog(ctx, func(m bus.Message) error {
			return put(place{partition: m.Partition, sequence: m.Sequence}, m.Data)
		})
	})
	if errors.Is(err, bus.ErrUnavailable) {
		return codedError{exitNotServed, err}
	}
	if err != nil {
		return openFailure(err)
	}
	return nil
}

func eachExported(file string, put func(place, []byte) error) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return usage("%w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 1<<20)
	header := make([]byte, len(exportHeader))
	if _, err := io.ReadFull(r, header); err != nil || string(header) != exportHeader {
		return usage("%s is not an exported log", file)
	}
	at := place{file: file, record: 1, offset: len(exportHeader)}
	var raw []byte
	for ; ; at.record++ {
		raw, err = readRecord(r, raw)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%v: %w", at, err)
		}
		if err := put(at, raw); err != nil {
			return err
		}
		at.offset += 4 + len(raw)
	}
}

// readRecord reads the next record into buf, or into a larger one.
func readRecord(r io.Reader, buf []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("truncated record")
		}
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 2*eventlog.MaxBytes {
		return nil, fmt.Errorf("record of %d bytes", n)
	}
	raw := slices.Grow(buf[:0], int(n))[:n]
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, errors.New("truncated record")
	}
	return raw, nil
}
