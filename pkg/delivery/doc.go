// Package delivery says which apps hear of a decided event, on which channel,
// and with what body.
//
// Plan is the whole of it: from an event of the log and the page's receivers at
// the roster version in force there, to the list of deliveries. Rendering the
// bytes is pkg/webhook's business, sending them the fan-out's.
//
// The rule of the package: pure, and the same entry plans the same deliveries
// for ever, so that a rewind repeats them.
package delivery
