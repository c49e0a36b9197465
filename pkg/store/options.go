package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatMajorVersion is the newest of the pinned Pebble release. Older formats
// lose acknowledged keys without a word when a byte of the write-ahead log is
// damaged. It can only be raised: a raise belongs into the changelog.
const formatMajorVersion = pebble.FormatValueSeparation

// FS is a file system that a store can live on.
type FS = vfs.FS

// Options say where a store is and how it behaves. The zero value of a field is
// its default.
type Options struct {
	// Dir is the directory, made if missing. Required.
	Dir string
	// FS is the file system; the operating system's by default.
	FS FS
	// CacheBytes is the size of the block cache, 64 MiB by default: what is
	// asked for often is in memory anyway. The memtables are paid out of it: one
	// smaller than a few memtables holds no blocks, and every look-up then reads
	// the disk.
	CacheBytes int64
	// MemTableBytes is the size of a memtable, 16 MiB by default; up to four
	// exist, one or two ordinarily. A start after a crash reads and flushes
	// what they held.
	MemTableBytes uint64
	// CompactLater keeps back compactions that can wait until Store.Compact: a
	// start after a crash flushes what was in memory, which is often when the
	// next one is due, and then reads every thread.
	CompactLater bool
	// ReadOnly opens an existing store without changing it; Apply and the
	// like fail. It too needs the directory's lock.
	ReadOnly bool
	// Logger gets the engine's messages at debug level, faults as errors.
	// Discarded by default.
	Logger *slog.Logger
	// Watch is told of faults and stalls.
	Watch Watch
	// Exit is called when the engine cannot go on (a write or sync of its
	// write-ahead log has failed). It must not return; os.Exit(1) by default.
	Exit func(reason string)
}

// Watch is told what an operator must know of the engine. Functions may be nil;
// they are called from any goroutine, must return soon and must not call the
// store.
type Watch struct {
	// Damaged: a file does not read as it was written.
	Damaged func(err error)
	// Failing: a flush or compaction failed and will be repeated.
	Failing func(err error)
	// Slow: a file operation has taken this long already.
	Slow func(operation string, took time.Duration)
	// Stalled: writes stand still (true), or go on (false).
	Stalled func(stalled bool, reason string)
}

func (o *Options) fill() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Exit == nil {
		o.Exit = func(string) { os.Exit(1) }
	}
}

// engine is how Pebble is run. Level 0 is compacted when it has some memtables,
// since each time all of the level below is written again, and so that a start,
// which flushes one, does not begin with a compaction; it stops writes late,
// since the stream bounds what arrives;
// blocks are large, because states are read from memory and logs are scanned;
// filters make the usual look-up, a key that is new, cheap. Tombstones of what
// lapsed reach the disk soon, and files are deleted at a pace.
func (o *Options) engine(compacts *compacting) *pebble.Options {
	e := &pebble.Options{
		CompactionConcurrencyRange:  compacts.most,
		FlushDelayDeleteRange:       10 * time.Second,
		FormatMajorVersion:          formatMajorVersion,
		FS:                          o.FS,
		L0CompactionThreshold:       8,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		Logger:                      engineLog{o.Logger, o.Exit},
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		ReadOnly:                    o.ReadOnly,
		TargetByteDeletionRate:      128 << 20,
	}
	e.Levels[0].BlockSize = 32 << 10
	e.Levels[0].IndexBlockSize = 256 << 10
	e.Levels[0].FilterPolicy = bloom.FilterPolicy(10)
	e.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionBalanced })
	listener := o.listener()
	e.EventListener = &listener
	return e
}

// listener hands the engine's events to the log and to Watch. DataCorruption
// must be set: by default Pebble ends the process.
func (o *Options) listener() pebble.EventListener {
	log, watch := o.Logger, o.Watch
	return pebble.EventListener{
		BackgroundError: func(err error) {
			log.Error("store background work failed", "err", err)
			if watch.Failing != nil {
				watch.Failing(err)
			}
		},
		DataCorruption: func(d pebble.DataCorruptionInfo) {
			log.Error("store file is damaged", "path", d.Path, "err", d.Details)
			if watch.Damaged != nil {
				watch.Damaged(fmt.Errorf("%s: %w", d.Path, d.Details))
			}
		},
		DiskSlow: func(d pebble.DiskSlowInfo) {
			log.Warn("disk is slow", "path", d.Path, "operation", d.OpType.String(), "took", d.Duration)
			if watch.Slow != nil {
				watch.Slow(d.OpType.String(), d.Duration)
			}
		},
		WriteStallBegin: func(s pebble.WriteStallBeginInfo) {
			log.Warn("store writes stall", "reason", s.Reason)
			if watch.Stalled != nil {
				watch.Stalled(true, s.Reason)
			}
		},
		WriteStallEnd: func() {
			log.Info("store writes go on")
			if watch.Stalled != nil {
				watch.Stalled(false, "")
			}
		},
	}
}

// engineLog is Pebble's logger.
type engineLog struct {
	log  *slog.Logger
	exit func(reason string)
}

// Infof logs what Pebble does.
func (l engineLog) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("store engine", "message", fmt.Sprintf(format, args...))
	}
}

// Errorf logs what went wrong in Pebble.
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Error("store engine", "message", fmt.Sprintf(format, args...))
}

// Fatalf ends the process: Pebble cannot go on after it, and its write path
// would stand still.
func (l engineLog) Fatalf(format string, args ...any) {
	reason := fmt.Sprintf(format, args...)
	l.log.Error("store cannot go on", "reason", reason)
	l.exit(reason)
	select {} // Exit has returned although it must not; nothing may go on
}
