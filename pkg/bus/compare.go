package bus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// compareAll returns every difference between the streams found and those
// wanted, joined; nil for none.
func compareAll(found streamSet, wanted []jetstream.StreamConfig, id Identity, cfg Config) error {
	var faults []error
	for _, want := range wanted {
		info := found[want.Name]
		other, err := checkIdentity(info, cfg)
		switch {
		case err != nil:
			faults = append(faults, err)
		case other != id:
			faults = append(faults, fmt.Errorf("%w: stream %s, metadata %s: found %x, wanted %x as %s has: "+
				"restore all streams from one backup", ErrForeignStream, want.Name, metaID, other.BatonID, id.BatonID, StreamLog))
		default:
			faults = append(faults, compare(want, info.Config)...)
		}
	}
	return errors.Join(faults...)
}

// compare returns the differences of one stream.
func compare(want, found jetstream.StreamConfig) []error {
	var faults []error
	had := settings(found)
	for i, w := range settings(want) {
		if had[i].value != w.value && !singly(want.Name, w) {
			faults = append(faults, &DifferenceError{
				Stream: want.Name, Setting: w.name, Wanted: w.value, Found: had[i].value,
				WayOut: wayOut(want.Name, w.name, had[i].value),
			})
		}
	}
	return faults
}

// singly is for cursors in a stream that was made before they were saved in batches:
// they go one by one.
func singly(stream string, wanted setting) bool {
	return stream == StreamCursor && wanted.name == "allow_atomic"
}

type setting struct{ name, value string }

// settings lists all that matters of a stream, as text, always in one order.
func settings(c jetstream.StreamConfig) []setting {
	subjects := slices.Sorted(slices.Values(c.Subjects))
	return []setting{
		{"subjects", strings.Join(subjects, " ")},
		{"storage", c.Storage.String()},
		{"retention", c.Retention.String()},
		{"num_replicas", fmt.Sprint(c.Replicas)},
		{"discard", c.Discard.String()},
		{"discard_new_per_subject", fmt.Sprint(c.DiscardNewPerSubject)},
		{"max_bytes", fmt.Sprint(c.MaxBytes)},
		{"max_age", c.MaxAge.String()},
		{"max_msgs", fmt.Sprint(c.MaxMsgs)},
		{"max_msgs_per_subject", fmt.Sprint(c.MaxMsgsPerSubject)},
		{"max_msg_size", fmt.Sprint(c.MaxMsgSize)},
		{"max_consumers", fmt.Sprint(c.MaxConsumers)},
		{"duplicate_window", c.Duplicates.String()},
		{"deny_delete", fmt.Sprint(c.DenyDelete)},
		{"deny_purge", fmt.Sprint(c.DenyPurge)},
		{"allow_rollup_hdrs", fmt.Sprint(c.AllowRollup)},
		{"allow_direct", fmt.Sprint(c.AllowDirect)},
		{"allow_atomic", fmt.Sprint(c.AllowAtomicPublish)},
		{"allow_batched", fmt.Sprint(c.AllowBatchPublish)},
		{"allow_msg_ttl", fmt.Sprint(c.AllowMsgTTL)},
		{"allow_msg_schedules", fmt.Sprint(c.AllowMsgSchedules)},
		{"allow_msg_counter", fmt.Sprint(c.AllowMsgCounter)},
		{"persist_mode", c.PersistMode.String()},
		{"no_ack", fmt.Sprint(c.NoAck)},
		{"sealed", fmt.Sprint(c.Sealed)},
		{"mirror", fmt.Sprint(c.Mirror != nil)},
		{"sources", fmt.Sprint(len(c.Sources))},
		{"subject_transform", fmt.Sprint(c.SubjectTransform != nil)},
		{"republish", fmt.Sprint(c.RePublish != nil)},
	}
}

// wayOut says what to do about a difference: five settings come from Baton's
// configuration, the others are Baton's own.
func wayOut(stream, name, found string) string {
	key := ""
	switch {
	case stream == StreamInbound && name == "max_bytes":
		key = "retention.inbound_bytes"
	case stream == StreamControl && name == "max_age":
		key = "retention.control"
	case stream == StreamLetters && name == "max_age":
		key = "retention.dead_letters"
	case stream == StreamLetters && name == "max_bytes":
		key = "retention.dead_letters_bytes"
	case name == "num_replicas":
		key = "durability"
	}
	if key == "" {
		return fmt.Sprintf("somebody has altered the stream; set it back with an administrator's tool (nats stream edit %s)", stream)
	}
	return fmt.Sprintf("set %s in Baton's configuration to what the stream has (%s), or alter the stream knowingly with the nats tool", key, found)
}

// adjustable reports whether AdjustStreams may change a setting.
func adjustable(d *DifferenceError) bool {
	switch d.Setting {
	case "max_bytes":
		return d.Stream == StreamInbound || d.Stream == StreamLetters
	case "max_age":
		return d.Stream == StreamControl || d.Stream == StreamLetters
	case "num_replicas":
		return true
	}
	return false
}
