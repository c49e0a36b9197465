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
// too) are connected; V is by "page develops=V" or "page tester=V", in
// development. D is not connected, F is a foreign app, N is Baton's own; X is
// the inbox, XI Instagram's, XS the 14-digit id of X in echoes. LONG and LONG2
// are texts one character beyond the bounds of a message's and a handover's
// metadata. Times are relative to the start of the script.
package controltest
