// Package bus is Baton's only door to NATS: the names, limits and identity of
// its streams, and the few ways in which they are written and read.
//
// The rule of the package: nobody else imports nats.go. What it promises about
// durability is said function by function; a call that writes returns only
// when the server has stored the message, and never repeats a publish by
// itself, because only its caller knows whether a repeat is safe.
//
// Where to begin: streams.go has what exists, ensure.go how it is made and
// compared, log.go the fence, controltopic.go the atomic batch, reader.go how a
// stream is followed, guard.go who may read the control-change topic.
package bus
