// Package roster knows who takes part: apps, pages, connections, tokens,
// routing and page-level menus.
//
// The rule of the package: a roster is a value. [Load] reads a configuration
// file and reports every fault at once; a [Document] is the versioned roster as
// it is stored; edits return a new Document; [Compile] turns one version into an
// immutable [Snapshot], which every role asks while it works. Nothing here does
// I/O but the reading of secrets, and nothing remembers anything.
package roster
