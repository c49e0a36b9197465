// Package storetest gives tests disks to put stores on: in memory, and able to
// lose power.
//
// The rule of the package: only tests import it, so that they need not import
// Pebble.
package storetest

import (
	"math/rand/v2"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/baton-router/baton/pkg/store"
)

// Disk is a file system in memory that remembers what was synced.
type Disk struct{ mem *vfs.MemFS }

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{mem: vfs.NewCrashableMem()} }

// FS is the disk as a store sees it.
func (d *Disk) FS() store.FS { return d.mem }

// CutPower returns the disk as it would be found after a power cut at this
// moment: everything that was synced, and of the rest a random part, percent of
// a hundred, that follows from seed. The disk itself goes on.
func (d *Disk) CutPower(percent int, seed uint64) *Disk {
	rng := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // repeatable on purpose
	return &Disk{mem: d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})}
}
