// Package fanout is the role that brings decided events to the apps: it follows
// the log of its partitions, plans one delivery per app concerned, and posts
// them, in thread order, until each is delivered or given up by policy.
//
// The rule of the package: the log is the queue. What is in memory is a bounded
// window of it; a partition's cursor says what of it is finished, and is moved
// only by a 2xx or by the policy's verdict.
//
// The parts, in the order of an event's way:
//
//	reader.go    the ordered reader of the log; catchup.go that of an app that lags, convoy.go of those that lag together
//	plan.go      record -> letters: who gets what, rendered once for all apps; planned.go shares it among those that lag
//	payload.go   the bounded cache of webhook payloads
//	hold.go      which partitions are held, and how one is given back
//	claim.go     a partition's cursor is taken over; holder.go its lease and fence; saver.go saves all that are held
//	tracker.go   an app's place in a partition: watermark, what is undelivered
//	settings.go  an app as it is today; engine.go its queue; lane.go one thread's; batch.go what shares a POST; start.go when it begins
//	throttle.go  what is late already gives way to what is in time
//	parcel.go    what is posted; flight.go its context; post.go the POST; retry.go its verdicts
//	journal.go   what operators see of it; bury.go the letters that are given up
package fanout
