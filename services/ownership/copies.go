package ownership

import (
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
)

// copies remembers which repeats of commands were answered without an event in
// the log. A copy that was sent before such a repeat may come after it, on
// another way through the network, when the thread is another one: decided then,
// it would take effect after its answer. What is in the log is found there, and
// what was sent to another tenure, or is past its deadline, is not decided
// anyway; so this is little, for the seconds until the deadline. The zero value
// is ready for use.
type copies struct {
	answered map[[16]byte]answeredCopy
	queue    [][16]byte // as they were noted
}

type answeredCopy struct {
	attempt uint32
	until   time.Duration // by the tenure's clock
}

// note remembers the answer to a repeat until its deadline.
func (c *copies) note(r *commandv1.Request, now time.Duration) {
	if r.GetAttempt() == 0 { // there is no earlier copy
		return
	}
	for len(c.queue) > 0 && c.answered[c.queue[0]].until < now {
		delete(c.answered, c.queue[0])
		c.queue = c.queue[1:]
	}
	if c.answered == nil {
		c.answered = map[[16]byte]answeredCopy{}
	}
	id := id16(r.GetId())
	c.answered[id] = answeredCopy{r.GetAttempt(), deadline(r)}
	c.queue = append(c.queue, id)
}

// overtaken reports whether a later copy of the request was answered.
func (c *copies) overtaken(r *commandv1.Request) bool {
	later, ok := c.answered[id16(r.GetId())]
	return ok && r.GetAttempt() <= later.attempt
}

// deadline of a request that names its tenure, by the tenure's clock.
func deadline(r *commandv1.Request) time.Duration {
	return time.Duration(r.GetDeadlineMs()) * time.Millisecond
}

// fenced reports whether the request may only be decided by the tenure that it
// names. Where no other node can hold the partition no copy can be under way.
func (h *holder) fenced(r *commandv1.Request) bool { return h.cfg.Barrier && r.GetEpoch() != 0 }

// outdated says why a command must not be decided here any more; empty when it
// may be.
func (h *holder) outdated(c call) string {
	fenced := h.fenced(c.req)
	switch {
	case fenced && c.req.GetEpoch() != h.epoch:
		return "another tenure was asked"
	case fenced && h.time.tenure() > deadline(c.req), h.deps.Clock.Now().After(c.expires):
		return "the deadline had passed before the command was decided"
	case fenced && h.copies.overtaken(c.req):
		return "a repeat of the command was answered"
	}
	return ""
}

// noteCopy remembers that a command is answered and leaves nothing in the log.
func (h *holder) noteCopy(c call) {
	if h.fenced(c.req) {
		h.copies.note(c.req, h.time.tenure())
	}
}
