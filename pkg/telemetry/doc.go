// Package telemetry is how Baton is watched: the log handler and its keys, the
// metrics and their names, and trace ids.
//
// The rule of the package: every name that an operator may search for, alert on
// or build a dashboard from stands in one table here (Metrics and the Key
// constants) and changes only with a note in the changelog. Nothing else
// imports a metrics library.
package telemetry
