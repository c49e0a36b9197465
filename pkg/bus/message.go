package bus

import "time"

// Message is one message of a stream.
type Message struct {
	// Sequence is the message's number in its stream, from 1 on. Messages of
	// several partitions may share one; of one partition it only grows.
	Sequence uint64
	// Partition whose message it is; -1 on streams without partitions.
	Partition int
	// Data must not be changed: the readers of a process may share it.
	Data []byte
	// At is when the server stored the message, by the server's clock.
	At time.Time

	subject string
}

// ReadOptions say what a reader gets.
type ReadOptions struct {
	// Partitions to read; nil means all of them. An empty, non-nil slice is
	// refused.
	Partitions []int
	// After is the last stream sequence that the reader already has: reading
	// begins behind it. 0 means from the beginning.
	After uint64
	// Ahead is how many messages may wait for the function that takes them; 0
	// for the most there can be, for a reader that goes on for ever.
	Ahead int
}
