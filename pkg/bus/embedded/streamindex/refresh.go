package streamindex

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Files of a stream.
const (
	metaFile   = "meta.inf"
	blocksDir  = "msgs"
	indexFile  = "index.db"
	blockEnd   = ".blk"
	stagedFile = "index.db.new"
)

// Refresh brings the index of the stream in a directory up to its blocks, while
// no server has it open, and returns how many bytes it read for that; none when
// the index was as it should be, or there is no stream. An error says why the
// index was left as it was.
func Refresh(dir string) (read int64, err error) {
	stream, err := nameOf(dir)
	if err != nil || stream == "" {
		return 0, err
	}
	t := &tail{stream: stream, dir: filepath.Join(dir, blocksDir), places: map[uint32][]place{}}
	raw, err := os.ReadFile(filepath.Join(t.dir, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if t.index, err = parse(raw, stream); err != nil {
		return 0, err
	}
	newer, err := t.compareFiles()
	if err != nil {
		return 0, err
	}
	if err := t.resume(); err != nil {
		return t.read, err
	}
	for _, number := range newer {
		if err := t.begin(number); err != nil {
			return t.read, err
		}
	}
	if t.read == 0 && len(newer) == 0 {
		return 0, nil
	}
	return t.read, t.replace(t.encode(stream))
}

// nameOf is the stream's name, if its deletions can be found again: a stream
// that drops the oldest message of a subject notes it nowhere. It is empty for
// others.
func nameOf(dir string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, metaFile))
	if err != nil {
		return "", err
	}
	var meta struct {
		Name          string `json:"name"`
		Retention     string `json:"retention"`
		PerSubject    int64  `json:"max_msgs_per_subject"`
		Messages      int64  `json:"max_msgs"`
		Storage       string `json:"storage"`
		Compression   string `json:"compression"`
		AllowSchedule bool   `json:"allow_msg_schedules"`
	}
	if err := json.Unmarshal(raw, &meta); err != nil {
		return "", fmt.Errorf("%w: %w", errUnusable, err)
	}
	if meta.Retention != "limits" || meta.PerSubject > 0 || meta.Messages > 0 || meta.Storage != "file" ||
		meta.Compression != "none" && meta.Compression != "" || meta.AllowSchedule {
		return "", nil
	}
	return meta.Name, nil
}

// compareFiles looks whether the blocks of the index are there, and returns the
// numbers of those that have come since, ascending.
func (t *tail) compareFiles() (newer []uint32, err error) {
	entries, err := os.ReadDir(t.dir)
	if err != nil {
		return nil, err
	}
	there := map[uint32]bool{}
	last := t.blocks[len(t.blocks)-1].number
	for _, e := range entries {
		text, ok := strings.CutSuffix(e.Name(), blockEnd)
		number, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil {
			continue
		}
		there[uint32(number)] = true
		if uint32(number) > last {
			newer = append(newer, uint32(number))
		}
	}
	for _, b := range t.blocks {
		if !there[b.number] {
			return nil, fmt.Errorf("%w: block %d is gone", errUnusable, b.number)
		}
		if err := t.holds(b); err != nil {
			return nil, err
		}
	}
	slices.Sort(newer)
	return newer, nil
}

// holds looks whether a block may still hold what the index says: its file may
// have been rewritten without what was deleted since.
func (t *tail) holds(b *block) error {
	f, err := os.Open(t.file(b.number))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	found, err := f.Stat()
	if err != nil {
		return err
	}
	if uint64(found.Size()) < b.bytes {
		return fmt.Errorf("%w: block %d is shorter than the index says", errUnusable, b.number)
	}
	head := make([]byte, min(found.Size(), leastRecord))
	if _, err := f.ReadAt(head, 0); err != nil {
		return err
	}
	if len(head) < leastRecord {
		return nil // empty, as its bytes say
	}
	first := firstOf(head)
	if first.sequence > b.first.sequence && !first.buries {
		return fmt.Errorf("%w: block %d begins at %d, not %d", errUnusable, b.number, first.sequence, b.first.sequence)
	}
	return nil
}

// replace writes the index, all of it or nothing.
func (t *tail) replace(raw []byte) error {
	staged := filepath.Join(t.dir, stagedFile)
	if err := os.WriteFile(staged, raw, 0o600); err != nil {
		return err
	}
	return os.Rename(staged, filepath.Join(t.dir, indexFile))
}
