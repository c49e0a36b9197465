// Package backup writes an installation's streams into a directory and makes
// the streams of an empty one from it.
//
// The rule of the package: a directory with a manifest is a whole backup. It
// gets its name in one step, when everything in it is on the disk, and nothing
// of it is restored before every file has the hash that the manifest names.
//
// A backup is the streams, and the streams are everything: the roster is one of
// them, and the store is a function of the log. It is left out on purpose. It
// would double the size, could be damaged or contradict the log, and is made
// anew from the log at the first start, which checks the hash chain on the way.
// Snapshots of it (BATON_SNAPSHOTS) and the delivery log are left out too.
//
// Where to begin: take.go reads the streams, directory.go keeps them,
// restore.go brings them back; archive.go is the format of a file.
package backup
