// Package lifecycle starts the parts of a process in order, stops them in
// reverse order, and says how they are.
//
// The rule of the package: every goroutine has a service that owns it, and when
// Group.Run returns none is left that was willing to end.
package lifecycle
