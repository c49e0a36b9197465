// Package floor has the least that the parts of a router can do with the
// libraries at hand: an HTTP server that only reads, verifies and answers, an
// HTTP client that only signs and posts, an append that is synced, and a stream
// that is published to and read. A router does all of them and more, so what
// they take is what is left to win.
package floor
