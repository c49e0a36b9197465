// Package assignment decides which node should hold which partition of a role,
// and moves partitions there.
//
// Every node tells all others, several times a second, that it lives and what
// it holds. From the set that it sees each node computes the same table
// (partition.Rendezvous), holds what is its own and nobody else's, and asks for
// what is its own and another's, one partition at a time; the other gives it up
// and says so with its next beat. Nothing is elected, leased or stored.
//
// The rule of the package: nothing here is needed for safety. Nodes that see
// different sets claim the same partition, and the fence of the log, or of the
// cursor, lets one of them decide; a wrong belief costs a claim.
//
// Where to look: table.go decides, purely, with the time as input; service.go
// sends, listens and carries out.
package assignment
