// Package eventlogtest makes events, records and histories out of choices, for
// tests of the log and of what is built from it.
//
// The rule of the package: everything follows from the Chooser, so that a
// failing case shrinks (rapid) or is repeated by its seed (rand).
package eventlogtest
