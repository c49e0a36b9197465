// Package controltest runs scenario scripts against the rules of pkg/control.
// Only tests import it.
//
// A script file holds blocks, separated by blank lines. A block starts with
//
//	row ID in MODES      or      scenario NAME in MODES
//
// MODES are h (handover with primary A), h0 (handover without), z
// (zero_config) and d (default app A); the block runs once in each and must read
// the same in all. Then come commands, each followed by what it decided,
// indented: events, deliveries ("-> app channel body ..."), a refusal, and the
// thread afterwards. Lines that start with "given" set the thread up and print
// nothing; "page" changes the page's rules; "wait 1h" lets time pass; "#" is a
// comment.
//
// Apps: A, B, C, T (with the take toggle) and H (with the human-agent feature
// too) are connected, V is in development with tester 9001234567890123's thread
// absent; D is not connected, F is a foreign app, N is Baton's own, X the inbox.
// Times are relative to the start of the script.
package controltest
