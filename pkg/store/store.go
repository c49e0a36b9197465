package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/eventlog"
)

// Format is the version of the key layout that this build writes. It reads and
// raises 1, which had no late rows, 2, which had a row for each de-duplication
// key, and 3, which had rows of their own for the history of each thread.
const Format = 4

// Store is a node's database. It is safe for concurrent use; Close must come
// last.
type Store struct {
	db    *pebble.DB
	lock  *pebble.Lock
	fs    FS
	cache thrift

	compacts *compacting
	readOnly bool
	behind   *behind

	checkpoints sync.Mutex
	summed      map[string]File // tables of the last checkpoint; under checkpoints

	mu struct {
		sync.Mutex
		partitions map[int]*Partition
	}
}

// Open opens the store in o.Dir, and makes it if there is none. The errors are
// ErrNewerFormat, ErrInUse, ErrNoStore, one for which IsDamaged is true, or
// that of the file system. The caller closes the store.
func Open(o Options) (*Store, error) {
	o.fill()
	s, err := open(&o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	if err := s.checkFormat(o.ReadOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", o.Dir, err), s.Close())
	}
	return s, nil
}

func open(o *Options) (*Store, error) {
	if err := prepare(o); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(o.Dir, o.FS)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrInUse, err)
	}
	compacts := &compacting{}
	compacts.later.Store(o.CompactLater)
	e := o.engine(compacts)
	e.Lock = lock
	e.Cache = pebble.NewCache(o.CacheBytes)
	db, err := pebble.Open(o.Dir, e)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", errMissing, err)
	}
	if err != nil {
		e.Cache.Unref()
		return nil, errors.Join(err, lock.Close())
	}
	s := &Store{db: db, lock: lock, fs: o.FS, compacts: compacts, readOnly: o.ReadOnly, behind: newBehind()}
	s.cache.cache, s.cache.reserve = e.Cache, max(0, int(o.CacheBytes)-int(o.MemTableBytes)-thriftBytes)
	s.mu.partitions = make(map[int]*Partition)
	go s.behind.run(s.flush)
	return s, nil
}

// prepare makes the directory, and looks whether this build can read what is in
// it before anything is written.
func prepare(o *Options) error {
	if !o.ReadOnly {
		if err := o.FS.MkdirAll(o.Dir, 0o755); err != nil {
			return err
		}
	}
	found, err := pebble.Peek(o.Dir, o.FS)
	switch {
	case err != nil && strings.Contains(err.Error(), "unknown format major version"):
		return fmt.Errorf("%w: %w", ErrNewerFormat, err)
	case errors.Is(err, fs.ErrNotExist), err == nil && !found.Exists && o.ReadOnly:
		return ErrNoStore
	}
	return err
}

// checkFormat compares the layout's version, and writes it into a new store or
// one of an earlier version.
func (s *Store) checkFormat(readOnly bool) error {
	row := key(ownPartition, tableMeta)
	var found uint32
	ok, err := get(s.db, row, func(v []byte) error {
		if len(v) != 4 {
			return fmt.Errorf("format: %w", eventlog.ErrDamaged)
		}
		found = binary.BigEndian.Uint32(v)
		return nil
	})
	switch {
	case err != nil:
		return err
	case ok && found > Format:
		return fmt.Errorf("%w: format %d, this build knows %d", ErrNewerFormat, found, Format)
	case ok && found == Format || readOnly:
		return nil
	}
	return s.db.Set(row, binary.BigEndian.AppendUint32(nil, Format), pebble.Sync)
}

// Partition returns partition p, of which there is one value per Store. The
// error is that of reading where it stands; when IsDamaged is true for it, the
// partition is returned too: it stands at the beginning, and is good for Wipe
// alone.
func (s *Store) Partition(p int) (*Partition, error) {
	if p < 0 || p >= MaxPartitions {
		return nil, fmt.Errorf("store: partition %d, at most %d", p, MaxPartitions-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	part := s.mu.partitions[p]
	if part == nil {
		part = &Partition{db: s.db, number: uint16(p), readOnly: s.readOnly, behind: s.behind.wake}
		part.pending.p = part
		if err := part.load(); err != nil && !IsDamaged(err) {
			return nil, err
		}
		s.mu.partitions[p] = part
	}
	return part, part.damage()
}

// Partitions returns the numbers of the partitions that the store has anything
// of, ascending.
func (s *Store) Partitions() ([]int, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	it, err := s.db.NewIter(&pebble.IterOptions{UpperBound: binary.BigEndian.AppendUint16(nil, ownPartition)})
	if err != nil {
		return nil, fmt.Errorf("store: partitions: %w", err)
	}
	var found []int
	for ok := it.First(); ok; {
		p := binary.BigEndian.Uint16(it.Key())
		found = append(found, int(p))
		ok = it.SeekGE(binary.BigEndian.AppendUint16(nil, p+1))
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return nil, fmt.Errorf("store: partitions: %w", err)
	}
	return found, nil
}

// Digest returns the total of the digests of the partitions below partitions
// that have a record. It reads every thread, on several goroutines.
func (s *Store) Digest(partitions int) (eventlog.Digest, error) {
	found, err := s.Partitions()
	if err != nil {
		return eventlog.Digest{}, err
	}
	var begun []uint32
	for _, n := range found {
		p, err := s.Partition(n)
		if err != nil {
			return eventlog.Digest{}, err
		}
		if n < partitions && p.Applied().Sequence > 0 {
			begun = append(begun, uint32(n))
		}
	}
	digests, err := eventlog.DigestsOf(begun, func(n uint32) (eventlog.Digest, error) {
		p, err := s.Partition(int(n))
		if err != nil {
			return eventlog.Digest{}, err
		}
		return p.Digest()
	})
	return eventlog.Total(digests), err
}

// Sync makes everything applied so far durable. It blocks until it is.
func (s *Store) Sync() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.db.LogData(nil, pebble.Sync)
}

// Close writes what is applied, and closes the store. No other call may be under
// way or follow.
func (s *Store) Close() error {
	s.behind.end()
	err := errors.Join(s.flush(), s.db.Close(), s.lock.Close())
	s.cache.cache.Unref()
	return err
}

// Use is how a store stands, for metrics.
type Use struct {
	// DiskBytes is everything on disk, LogBytes the write-ahead log of it.
	DiskBytes, LogBytes uint64
	// CompactionDebt is how many bytes wait to be compacted; Sublevels how
	// many a read may have to look at in level 0.
	CompactionDebt uint64
	Sublevels      int
	// CacheBytes is what the block cache holds.
	CacheBytes int64
}

// Use returns how the store stands.
func (s *Store) Use() Use {
	m := s.db.Metrics()
	return Use{
		DiskBytes: m.DiskSpaceUsage(), LogBytes: m.WAL.PhysicalSize, CompactionDebt: m.Compact.EstimatedDebt,
		Sublevels: int(m.Levels[0].Sublevels), CacheBytes: m.BlockCache.Size,
	}
}
