// Package store is what a node keeps of its partitions on disk: the log in
// full, the states of threads, timers, and the tables that the log feeds. It is
// the only importer of Pebble. One database per node holds all partitions; the
// keys are laid out in keys.go.
//
// The stream is the commit path, the store follows it: a partition's records are
// applied in memory at once, and their rows are written in batches, a tenth of a
// second later at most, and not synced; those of the threads and of the log's
// indexes, which would be put anywhere, later and together. Whoever reads sees all
// that is applied. After a crash the store is at an earlier record, whole, and
// takes the following ones again; Applied says from where.
//
// The rule of the package: a batch holds everything that follows from a run of
// records, or nothing. What an event changes is said by eventlog.Project, never
// here.
package store
