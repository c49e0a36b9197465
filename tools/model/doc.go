// Package model holds Baton's protocols in Promela and the tests that have Spin
// check them: the protocol as designed, exhaustively within bounds, and variants
// of it with a known hole, which Spin must find. README.md says what is modelled.
package model
