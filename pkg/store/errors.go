package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
)

// The errors of this package. Apply also returns eventlog.ErrStaleEpoch and
// eventlog.ErrBrokenChain.
var (
	// ErrNewerFormat is returned by Open: a newer build wrote the store. The
	// way out is that build, or another directory.
	ErrNewerFormat = errors.New("store: written by a newer version")
	// ErrInUse is returned by Open: another process, or another Store of this
	// one, has the directory open.
	ErrInUse = errors.New("store: directory is in use")
	// ErrNoStore is returned by Open with ReadOnly: there is none.
	ErrNoStore = errors.New("store: no store in this directory")
	// ErrNoPosition is returned by Event: the log holds no such position.
	ErrNoPosition = errors.New("store: no such position")
	// errMissing: a file that the store needs is not there.
	errMissing = errors.New("store: a file is missing")
	// ErrWrongChanges is returned by Apply: the changes do not match the
	// record. It is a mistake of the caller.
	ErrWrongChanges = errors.New("store: changes do not match the record")
)

// IsDamaged reports whether err says that stored bytes do not read as they were
// written, or are gone. What they hold must be rebuilt from the stream: of a
// partition (Partition.Wipe) when the error is of one, else the whole store.
func IsDamaged(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, errMissing) || errors.Is(err, eventlog.ErrDamaged) || errors.Is(err, control.ErrBadState)
}
