// Package repair says how a repair of a halted partition may be refused, whatever
// is repaired of it: its store and log, or its deliveries.
package repair

import (
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/control"
)

// Why a repair was refused. Nothing was changed but by the steps that were told of
// before.
var (
	// ErrNotHalted: there is nothing to repair.
	ErrNotHalted = errors.New("repair: the partition is not halted")
	// ErrNoRepair: the way out is not Baton's; the text says whose.
	ErrNoRepair = errors.New("repair: cannot be repaired from here")
	// ErrRepairing: another repair of the partition is under way.
	ErrRepairing = errors.New("repair: the partition is being repaired")
	// ErrWrongPosition: what was accepted is not where the log ends.
	ErrWrongPosition = errors.New("repair: the log does not end at the position that was accepted")
)

// WouldLoseError is returned when the only way out loses something and that was
// not accepted.
type WouldLoseError struct {
	// Partition, and the Position at which its log ends: to be accepted.
	Partition int
	Position  control.Position
	// What is lost.
	What string
}

// Error says what is lost, and where the partition goes on.
func (e *WouldLoseError) Error() string {
	return fmt.Sprintf("repair: partition %d goes on behind position %d only if a loss is accepted: %s", e.Partition, e.Position, e.What)
}
