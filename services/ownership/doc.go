// Package ownership is the role that decides: one holder per partition takes
// inbound events, API commands and timers in one order, runs the rules of
// pkg/control, commits what was decided to the log in one fenced publish,
// projects it into the store and answers.
//
// The rule of the package: nothing is answered, projected or published before
// the log has acknowledged it, and nothing is decided by a holder that cannot
// prove that it is the only one.
//
// Where to look: service.go starts the holders, holder.go is the loop, step.go
// is one decision step, commit.go makes it durable, fence.go the publish, claim.go
// the way in, topic.go the control-change topic and backlog.go what waits for it.
package ownership
