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
// (testing/cryptotest). What is left is Go's own choice in a select of which two
// cases became ready at the same moment, as when a timer and its signal meet: at
// such a moment two runs of a seed may part. So a seed that found something may
// have to be run a few times.
//
// The rule of the package: it stands on the services, and only tests stand on
// it.
package sim
