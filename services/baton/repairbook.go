package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

// repairBook is the node's journal of repairs: a line of JSON before each step
// and one after it, synced, in the directory repairs of the data directory. The
// log may be what is being repaired, so it is kept beside it.
type repairBook struct {
	dir  string
	node string
	now  func() time.Time
	mu   sync.Mutex
}

func newRepairBook(dataDir, node string) *repairBook {
	return &repairBook{dir: filepath.Join(dataDir, "repairs"), node: node, now: time.Now}
}

const (
	repairBegun = "begun"
	repairDone  = "done"
)

// write adds a line; it is durable on return.
func (b *repairBook) write(who string, step *adminv1.RepairStep, outcome string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&adminv1.RepairNote{
		At: b.now().UTC().Format(time.RFC3339), Who: who, Node: b.node, Step: step, Outcome: outcome,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return fmt.Errorf("journal of repairs: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(b.dir, "journal.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("journal of repairs: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(b.dir)); err != nil {
		return fmt.Errorf("journal of repairs: %w", err)
	}
	return nil
}

// read returns the lines, the oldest first; a line cut short by a crash is left
// out.
func (b *repairBook) read() ([]*adminv1.RepairNote, error) {
	data, err := os.ReadFile(filepath.Join(b.dir, "journal.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal of repairs: %w", err)
	}
	var notes []*adminv1.RepairNote
	for line := range bytes.Lines(data) {
		note := new(adminv1.RepairNote)
		if protojson.Unmarshal(line, note) == nil {
			notes = append(notes, note)
		}
	}
	return notes, nil
}

// export keeps records in a file of its own, as baton log export writes one. It
// is durable on return.
func (b *repairBook) export(partition int, records iter.Seq[[]byte]) (file string, err error) {
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return "", err
	}
	file = filepath.Join(b.dir, fmt.Sprintf("partition-%d-%s.log", partition, b.now().UTC().Format("20060102T150405.000")))
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close(), syncDir(b.dir)) }()
	w := bufio.NewWriter(f)
	if _, err := w.WriteString(exportHeader); err != nil {
		return file, err
	}
	for raw := range records {
		if err := writeRecord(w, raw); err != nil {
			return file, err
		}
	}
	return file, errors.Join(w.Flush(), f.Sync())
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
