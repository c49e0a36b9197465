// Package deadletter keeps the deliveries that were given up, on the stream
// BATON_LETTERS: each one's key and story, until it is delivered again, dropped,
// or too old.
//
// The rule of the package: a letter that Bury has kept is listed by every node
// until somebody settles it. The stream is only appended to; the last word about
// a delivery counts.
package deadletter
