// Package sim runs several nodes in one process, on simulated surroundings and
// under a seeded scheduler, and looks after every step whether what Baton
// promises still holds.
//
// What runs is the product: the services ownership and fan-out with everything
// below them (core, codec, store). What is simulated is what they stand on: the
// streams, the network, the disks, the clocks, the apps' callbacks, the callers
// and the platform. A call of a service on its surroundings waits until the
// scheduler lets it go on, and the scheduler says how it ends: done; done with
// the answer lost; lost; on its way to arrive later, or twice.
//
// Only one thing goes on at a time. The services run in a testing/synctest
// bubble; between two steps every goroutine in it is durably blocked, so that
// what a step sets off depends on the step alone, and time passes only in steps
// of its own. The calls that wait are ordered by name, never by arrival.
// Everything random comes from the seed, also what the services draw
// (testing/cryptotest).
//
// A run is nevertheless not repeatable from its seed alone. What Go itself leaves
// open stays open: which of two ready cases a select takes, the order in which a
// map is walked, when a goroutine is preempted. A few hundred steps into a run
// of some 2,800 two runs of a seed have mostly parted, and Report.Trace differs.
// So a seed says where to look, not what will be found: one that found something
// has to be run several times until it finds it again, and -show has to be on
// then; one that found nothing may find something the next time. What a run
// finds is true all the same.
//
// Not simulated are a stream that loses what it has acknowledged, and bytes that
// change on a disk.
//
// The rule of the package: it stands on the services, and only tests stand on
// it.
package sim
