package bus

import (
	"errors"
	"fmt"
)

var (
	// ErrWrongSequence is returned by every compare-and-set (AppendLog, Barrier,
	// SaveCursor, SaveCursors, SaveRoster, PublishControl) when the subject's last sequence is
	// not the expected one: somebody else has written. Nothing was stored by this
	// call. An earlier call whose outcome was unknown may be the one that wrote.
	ErrWrongSequence = errors.New("bus: another writer moved the sequence")

	// ErrInFlight is returned by a compare-and-set while an earlier publish with
	// an expectation on the same subject is still being agreed on in a cluster.
	// Nothing was stored by this call; repeat it unchanged.
	ErrInFlight = errors.New("bus: an earlier write is still in flight")

	// ErrOutcomeUnknown is returned when a message was handed to the connection
	// and no answer came in time: it may be stored, may be stored later, or
	// never. Only a repeat with the same expectation can tell.
	ErrOutcomeUnknown = errors.New("bus: outcome of the write unknown")

	// ErrUnavailable is returned when the server cannot be reached or no stream
	// listens at the moment. Nothing was stored by this call.
	ErrUnavailable = errors.New("bus: not available")

	// ErrStreamFull is returned by writes that the stream refuses because its
	// byte limit, or the server's, is reached. Nothing was stored or deleted.
	ErrStreamFull = errors.New("bus: stream full")

	// ErrTooLarge is returned for a message above the server's or the stream's
	// size limit, and for a batch of more than MaxBatch messages. Nothing was
	// sent.
	ErrTooLarge = errors.New("bus: message too large")

	// ErrInvalid is returned for arguments that can never work: a partition that
	// does not exist, a subject with a wildcard, a batch without a cursor.
	ErrInvalid = errors.New("bus: invalid argument")

	// ErrNoBatches is returned by SaveCursors when the stream takes no atomic
	// batches. Nothing was stored.
	ErrNoBatches = errors.New("bus: the stream takes no batches")

	// ErrNoMessage is returned by reads of a message that does not exist, or no
	// longer.
	ErrNoMessage = errors.New("bus: no such message")

	// ErrNoHolder is returned by Ask when nobody serves the partition's commands.
	ErrNoHolder = errors.New("bus: partition has no holder")

	// ErrNoAnswer is returned by Ask when the holder did not answer in time. The
	// command may have been decided.
	ErrNoAnswer = errors.New("bus: no answer from the holder")

	// ErrDamaged is returned by reads that meet a message that is not as it was
	// written. Nothing of it is handed out, and nothing behind it.
	ErrDamaged = errors.New("bus: damaged message")

	// ErrClosed is returned by every call on a closed Conn.
	ErrClosed = errors.New("bus: connection closed")
)

var (
	// ErrPartitionCount is returned by EnsureStreams when the streams were made
	// for another number of partitions, which is fixed for ever.
	ErrPartitionCount = errors.New("bus: streams have another partition count")

	// ErrNewerFormat is returned by EnsureStreams when the streams were made by a
	// newer Baton.
	ErrNewerFormat = errors.New("bus: streams have a newer format")

	// ErrOlderFormat is returned by EnsureStreams when the streams were made by an
	// older Baton. RaiseFormat makes them ours.
	ErrOlderFormat = errors.New("bus: streams have an older format")

	// ErrForeignStream is returned by EnsureStreams for a stream of Baton's name
	// that was not made by Baton, or belongs to another installation.
	ErrForeignStream = errors.New("bus: stream belongs to somebody else")

	// ErrBundled is returned by EnsureStreams to a Conn that is not the only
	// writer (Options.Sole) when the streams hold bundles: their partitions are
	// fenced by the process that wrote them, not by the stream.
	ErrBundled = errors.New("bus: streams were written by an embedded server")

	// ErrStreamMissing is returned by EnsureStreams when some streams are there
	// and hold messages while another one is gone, and by calls on a stream that
	// does not exist.
	ErrStreamMissing = errors.New("bus: stream missing")

	// ErrStreamDiffers is returned by EnsureStreams when a setting is not the
	// wanted one. Each difference is a *DifferenceError.
	ErrStreamDiffers = errors.New("bus: stream differs")
)

// DifferenceError is one setting of one stream that is not as wanted. It is an
// ErrStreamDiffers.
type DifferenceError struct {
	// Stream is the stream's name.
	Stream string
	// Setting is the setting's name in the NATS API.
	Setting string
	// Wanted and Found are the two values as text.
	Wanted, Found string
	// WayOut says what an operator can do.
	WayOut string
}

// Error names stream, setting, both values and the way out.
func (e *DifferenceError) Error() string {
	return fmt.Sprintf("stream %s: %s is %s, wanted %s: %s", e.Stream, e.Setting, e.Found, e.Wanted, e.WayOut)
}

// Is makes every DifferenceError an ErrStreamDiffers.
func (e *DifferenceError) Is(target error) bool { return target == ErrStreamDiffers }

// IsRetryable reports whether the same call may succeed when it is repeated
// unchanged. For a write of unknown outcome the repeat must carry the same
// expectation.
func IsRetryable(err error) bool {
	return errors.Is(err, ErrInFlight) || errors.Is(err, ErrOutcomeUnknown) ||
		errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrNoHolder)
}

// IsFenced reports whether err means that another writer has taken over or
// got in between.
func IsFenced(err error) bool { return errors.Is(err, ErrWrongSequence) }
