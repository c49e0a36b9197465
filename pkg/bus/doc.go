// Package bus is Baton's only door to NATS: the names, limits and identity of
// its streams, and the few ways in which they are written and read.
//
// The rule of the package: nobody else imports nats.go. What it promises about
// durability is said function by function; a call that writes returns only
// when the server has stored the message, and never repeats a publish by
// itself, because only its caller knows whether a repeat is safe. The one
// exception is the writer of bundles, which is its own caller.
//
// Where to begin: streams.go has what exists, ensure.go how it is made and
// compared, log.go the fence, bundle.go and gather.go how the partitions of an
// embedded server share one write, bundleread.go how a part is found again,
// controltopic.go the atomic batch, reader.go how a stream is followed, guard.go
// who may read the control-change topic.
package bus
