package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

const (
	fileName   = "simulator.json"
	fileFormat = 1
	// idBlock is how many ids are reserved on disk at a time: a killed process
	// skips the rest of its block, and no id is given out twice.
	idBlock = 4096
)

// ErrNewerFormat is returned by New for a state file that a newer version has
// written.
var ErrNewerFormat = errors.New("simulator: state file of a newer version")

// savedState is the state file. Everything in it is bounded: see config.go.
type savedState struct {
	Format   int                                   `json:"format"`
	OffsetMS int64                                 `json:"offset_ms"`
	IDs      uint64                                `json:"ids"` // first id not reserved
	NextLine uint64                                `json:"next_line"`
	Profiles map[string]map[string]json.RawMessage `json:"profiles,omitempty"`
	Fields   map[string][]string                   `json:"subscribed_fields,omitempty"`
	Threads  []savedThread                         `json:"threads,omitempty"`
	Lines    []Line                                `json:"lines,omitempty"`
	// version orders snapshots within a process.
	version uint64
}

type savedThread struct {
	Asset   uint64 `json:"asset"`
	Person  uint64 `json:"person"`
	Facts   facts  `json:"facts"`
	Touched uint64 `json:"touched"`
	Pending []hook `json:"pending,omitempty"`
}

// stateFile is the state on disk, safe for concurrent use. Its lock may be
// taken under Service.mu, never the other way round.
type stateFile struct {
	path string

	mu     sync.Mutex
	newest uint64 // version on disk
}

// load returns the zero state when there is no file.
func (f *stateFile) load() (savedState, error) {
	var st savedState
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return savedState{Format: fileFormat, NextLine: 1}, nil
	}
	if err != nil {
		return st, fmt.Errorf("simulator: reading state: %w", err)
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, fmt.Errorf("simulator: state file %s is damaged (remove it to forget the simulator's people and clock): %w", f.path, err)
	}
	if st.Format > fileFormat {
		return st, fmt.Errorf("%w: %s has format %d, this version knows %d", ErrNewerFormat, f.path, st.Format, fileFormat)
	}
	return st, nil
}

// save replaces the file at once: a reader, and a start after a crash, sees the
// old state or the new one. A snapshot older than the one on disk is left out.
func (f *stateFile) save(st savedState) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if st.version < f.newest {
		return nil
	}
	b, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("simulator: encoding state: %w", err)
	}
	if err := writeAtomically(f.path, b); err != nil {
		return err
	}
	f.newest = st.version
	return nil
}

// writeAtomically puts b on disk under path, durably, with mode 0600.
func writeAtomically(path string, b []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("simulator: writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("simulator: writing %s: %w", path, err), os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// snapshot is the state as it is to be kept, with a given offset. Needs mu. The
// bytes it refers to are never changed in place.
func (s *Service) snapshot(offset time.Duration) savedState {
	s.version++
	st := savedState{
		version: s.version,
		Format:  fileFormat, OffsetMS: offset.Milliseconds(), IDs: s.ids.reserved,
		NextLine: s.transcript.next, Profiles: s.profiles.copy(), Fields: s.fields.copy(),
		Lines: slices.Clone(s.transcript.newest(savedLines)),
	}
	for key, th := range s.threads {
		saved := savedThread{Asset: key.Asset, Person: key.Person, Facts: th.facts, Touched: th.touched}
		for _, h := range th.pending {
			saved.Pending = append(saved.Pending, *h)
		}
		st.Threads = append(st.Threads, saved)
	}
	slices.SortFunc(st.Threads, func(a, b savedThread) int {
		if (control.ThreadKey{Asset: a.Asset, Person: a.Person}).Less(control.ThreadKey{Asset: b.Asset, Person: b.Person}) {
			return -1
		}
		return 1
	})
	return st
}

// restore takes over what was saved. Used by New alone.
func (s *Service) restore(st savedState) {
	s.offset.Store(int64(time.Duration(st.OffsetMS) * time.Millisecond))
	s.ids = idSource{seed: s.config.Seed, next: st.IDs, reserved: st.IDs}
	s.transcript.next = max(1, st.NextLine)
	s.transcript.lines = st.Lines
	s.profiles, s.fields = profilesOf(st.Profiles), fieldsOf(st.Fields)
	for _, saved := range st.Threads {
		key := control.ThreadKey{Asset: saved.Asset, Person: saved.Person}
		th := newThread(key)
		th.facts, th.touched = saved.Facts, saved.Touched
		for _, h := range saved.Pending {
			th.pending = append(th.pending, &h)
		}
		s.threads[key] = th
		s.turns = max(s.turns, saved.Touched)
		s.waiting += len(th.pending)
		if len(th.pending) > 0 {
			s.woken = append(s.woken, th)
		}
	}
}

// saveNow writes the state. It takes mu only to copy.
func (s *Service) saveNow() error {
	s.mu.Lock()
	st := s.snapshot(s.Offset())
	s.mu.Unlock()
	return s.file.save(st)
}
