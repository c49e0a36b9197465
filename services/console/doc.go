// Package console is the role that serves operators on the admin listener: the
// admin RPCs, metrics, health and profiles. It sees what every other role lets
// it see through small interfaces and has no private way in.
//
// The rule of the package: who may do what is decided in access.go, before any
// handler runs, and the caller's name is the actor of what is logged.
package console
