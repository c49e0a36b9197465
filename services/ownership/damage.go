package ownership

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/store"
)

// Damage says why a partition is halted, so far as the way out depends on it.
type Damage string

// The damages. ARCHITECTURE.md has a table of them: how each is found, what it
// halts and what repairs it.
const (
	// DamageStore: rows of this node's store do not read as they were written.
	DamageStore Damage = "store"
	// DamageForeign: the store is of another installation than the streams.
	DamageForeign Damage = "foreign-store"
	// DamageShort: the log ends before what the store has applied.
	DamageShort Damage = "log-short"
	// DamageFork: the log has another record where the store has applied one.
	DamageFork Damage = "log-differs"
	// DamageChain: a record of the log does not continue what the store has
	// applied: either of them may be wrong.
	DamageChain Damage = "chain"
	// DamageRecord: a record of the log cannot be read, or is of another
	// installation.
	DamageRecord Damage = "record"
	// DamageVersion: a record of the log needs a newer Baton.
	DamageVersion Damage = "newer-version"
	// DamageInput: input that is decided is not on the inbound stream any more,
	// or other input is in its place, or a message of it cannot be read.
	DamageInput Damage = "input"
	// DamageTopic: the control topic has positions that the log has not.
	DamageTopic Damage = "topic-ahead"
)

// haltError stops a partition: its store, log and input contradict each other.
// Nothing is truncated; an operator decides.
type haltError struct {
	damage Damage
	reason string
}

func (e haltError) Error() string { return "ownership: partition halted: " + e.reason }

func halt(d Damage, format string, args ...any) error {
	return haltError{d, fmt.Sprintf(format, args...)}
}

// unreadable halts for a record that cannot be decoded.
func unreadable(what string, sequence uint64, err error) error {
	damage := DamageRecord
	if errors.Is(err, eventlog.ErrNewerVersion) {
		damage = DamageVersion
	}
	return halt(damage, "%s at log sequence %d: %v", what, sequence, err)
}

// asHalt is the halt that an error asks for: its own, or that of a store whose
// bytes are not as they were written. False when it asks for none.
func asHalt(err error) (haltError, bool) {
	if halted, ok := errors.AsType[haltError](err); ok {
		return halted, true
	}
	if store.IsDamaged(err) {
		return haltError{DamageStore, err.Error()}, true
	}
	return haltError{}, false
}

// shorter halts a partition whose log was read to end at a sequence, before what
// the store has applied, once the stream has confirmed that.
func (h *holder) shorter(ctx context.Context, end uint64, format string, args ...any) error {
	if err := h.confirmEnd(ctx, end); err != nil {
		return err
	}
	return halt(DamageShort, format, args...)
}

// confirmEnd proves that the log ends at a sequence. A leader that was deposed
// and does not know it, or a copy that lags, may answer a read with an end of
// long ago; a barrier is stored only by the present leader with its quorum, and
// only if the log ends there. Nothing is halted on the word of a read.
func (h *holder) confirmEnd(ctx context.Context, end uint64) error {
	if err := h.deps.Log.Barrier(ctx, h.partition, end); err != nil {
		return fmt.Errorf("ownership: the log of partition %d was read to end at %d, which the stream does not confirm: %w", h.partition, end, err)
	}
	return nil
}

// topicPosition is how far the control topic has the partition's changes; zero
// when that cannot be told, which is the publisher's matter: decisions need not wait
// for the topic.
func (h *holder) topicPosition(ctx context.Context) (control.Position, error) {
	data, _, err := h.deps.Topic.ControlCursor(ctx, h.partition)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return 0, fmt.Errorf("ownership: control cursor of partition %d: %w", h.partition, err)
	}
	cursor, err := decodeCursor(data)
	if err != nil {
		return 0, nil //nolint:nilerr // see above
	}
	return cursor.Position, nil
}

// checkTopic compares a position of the control topic with the log, which has been
// read to its end since: what the topic has must be in the log, or new changes would
// be taken for ones that were published.
func (h *holder) checkTopic(ctx context.Context, topic control.Position) error {
	if topic <= h.applied.Position {
		return nil
	}
	if err := h.confirmEnd(ctx, h.sequence); err != nil {
		return err
	}
	return halt(DamageTopic, "the control topic has position %d, the log ends at %d", topic, h.applied.Position)
}
