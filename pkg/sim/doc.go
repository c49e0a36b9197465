// Package sim runs several nodes in one process, on simulated surroundings and
// under a seeded scheduler, and looks after every step whether what Baton
// promises still holds.
//
// What runs is the product: the services ownership, fan-out and graphapi, and the
// assignment of partitions, with everything below them (core, codec, store). What
// is simulated is what they stand on: the streams, the network, the disks, the
// clocks, the apps' callbacks, the callers and the platform. A call of a service
// on its surroundings waits until the scheduler lets it go on, and the scheduler
// says how it ends: done; done with the answer lost; lost; on its way to arrive
// later, or twice. In a third of the worlds the nodes' own beats place the
// partitions, and beats come late, twice or not at all; in the others the
// simulator says who is to hold what, and not always well: two nodes, or none. In
// a fifth of them each, the log once loses the end of what it had acknowledged, the
// streams of cursors do so a few times, and a bit changes in a stored message.
//
// Only one thing goes on at a time. The services run in a testing/synctest
// bubble; between two steps every goroutine in it is durably blocked, so that
// what a step sets off depends on the step alone, and time passes only in steps
// of its own. The calls that wait are ordered by name, never by arrival.
// Everything random comes from the seed, also what the services draw
// (testing/cryptotest).
//
// What Go itself leaves open would still let two runs of a seed part: which of
// two ready cases a select takes, where the walk over a map begins, which of two
// timers of one moment fires first, when a goroutine loses its turn, when garbage
// is collected. So the tests build themselves once more, with ten small changes
// planted into the runtime (-overlay; plant_test.go has them), which take all of
// that from the seed, and run that binary, each seed in a process of its own. Then
// a run is repeatable from its seed: at another time, on a busy machine, with -show
// or without. Report.Trace is a hash
// over all steps and over all that could have happened instead; TestRunsRepeat
// compares it between processes, and every planted mutant that a seed has found is
// found again by that seed.
//
// With -short the runs are made in the process of the test, on Go as it is, mostly
// for the race detector: these do not repeat, and a seed only says where to look.
//
// Looked after are, among others: one chain of records per partition, by one
// holder at a time; what was acknowledged is in the log, and what was refused is
// not; every answer was so at some moment since it was asked for; nothing is
// decided twice; every delivery once and in order, but for repeats that can be
// told; every change on the control topic once; a send leaves once, within its
// time, and its caller is told what the log has; no lapse before the input that
// comes first; stores equal to the fold of the log; and, after a loss, that
// whoever has applied a lost record halts and decides nothing more.
//
// The log loses its end in one of two ways: with all nodes down, or while they live
// on and only their connections break.
//
// The streams of cursors, fan-out's and the control topic's, lose their ends while the
// nodes live. Nothing may be lost by that: every delivery is made, and what is behind
// the cursor that is left comes once more. A changed message halts who needs it,
// nobody decides by it or delivers it, and the other partitions go on.
//
// Not simulated are an input or a roster that loses something, and bytes that change
// on a node's own disk.
//
// The rule of the package: it stands on the services, and only tests stand on
// it.
package sim
