package fanout

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
)

// Journal keeps what an operator asks about later: exchanges, and the letters
// that were given up. Its methods are called from many goroutines, those that
// post, without any lock held.
type Journal interface {
	// Wants reports whether an exchange with the app is to be told: every
	// failure, a sample of what was taken. It must be quick.
	Wants(app control.AppID, taken bool) bool
	// Exchanged tells how a POST went. x and all that it refers to belong to
	// the caller and change after the call.
	Exchanged(x *Exchange)
	// Bury keeps a dead letter; it is durable on return. Only then the letter's
	// thread goes on and the cursor may pass it. With an error it stays at the
	// head of its thread and is posted again later. Bury may be called again
	// with a letter that it has kept: after a crash, for one.
	Bury(ctx context.Context, d *DeadLetter) error
}

// Exchange is one POST as it went.
type Exchange struct {
	App      control.AppID
	Callback string
	Object   control.Object
	Channel  control.Channel
	// Attempt is the value of the header Baton-Attempt; 1 for the first.
	Attempt int
	// Deliveries are the events that were posted, in entry order.
	Deliveries []Posted
	// Answer is the class of its end, as in Attempt.
	Answer string
	// Failure is the step that failed; none for what was taken.
	Failure egress.Class
	Status  int // 0 without an answer
	Err     error
	// Connect is how long it took to get a connection. Started is when the POST began; FirstByte is how long the first byte of
	// the answer took, 0 for none, Took how long all of it did. Reused says
	// that the connection was kept from an earlier POST.
	Started                  time.Time
	Connect, FirstByte, Took time.Duration
	Reused                   bool
	RequestHeader            http.Header
	RequestBody              []byte
	ResponseHeader           http.Header // nil without an answer
	ResponseBody             []byte      // its first bytes, at most maxAnswerKept
}

// Posted is an event of an exchange, and what becomes of it.
type Posted struct {
	Partition int
	Position  control.Position
	Thread    control.ThreadKey
	// Attempts so far, this one included.
	Attempts int
	// Outcome is how the delivery ended, empty while it goes on; then Next is
	// when it is posted again, zero for at once or not before an operator says
	// so.
	Outcome Outcome
	Next    time.Time
}

// DeadLetter is a delivery that was given up. What is needed to make it again is
// in it: today's settings of the app sign and address it.
type DeadLetter struct {
	App       control.AppID
	Partition int
	Position  control.Position
	Thread    control.ThreadKey
	Object    control.Object
	Channel   control.Channel
	// DecidedAt is entry.time.
	DecidedAt control.Millis
	// Element is the event as it stands in the entry; nil when its payload was
	// gone (OutcomeRetention, OutcomeUnreadable,
	// OutcomeOtherPayload). It must not be changed.
	Element []byte
	Outcome Outcome
	// Attempts made, the first of them at First, zero for none.
	Attempts int
	First    time.Time
	// Answer, Status and Err are those of the last attempt.
	Answer  string
	Failure egress.Class
	Status  int
	Err     error
}

// DeliveryID names a delivery in the header Baton-Delivery-Id:
// <partition>-<position>.
func DeliveryID(partition int, p control.Position) string {
	return string(appendDeliveryID(nil, partition, p))
}

func appendDeliveryID(dst []byte, partition int, p control.Position) []byte {
	dst = strconv.AppendInt(dst, int64(partition), 10)
	return strconv.AppendUint(append(dst, '-'), uint64(p), 10)
}

// maxAnswerKept bounds the bytes of an answer's body that a journal is shown.
const maxAnswerKept = 4 << 10

// dead is the letter as a dead one.
func (l *letter) dead(app control.AppID, o Outcome, r *result) *DeadLetter {
	return &DeadLetter{
		App: app, Partition: l.partition, Position: l.position, Thread: l.thread, Object: l.object, Channel: l.channel,
		DecidedAt: l.at, Element: l.element, Outcome: o, Attempts: l.attempts, First: l.first,
		Answer: r.answer.String(), Failure: r.failure, Status: r.status, Err: r.err,
	}
}

// tell shows the journal a POST and what its events' verdicts are.
func (e *engine) tell(b *batch, r *result, verdicts []verdict) {
	if e.journal == nil || r.answer == answerCancelled || r.answer == answerOutdated || !e.journal.Wants(e.id, r.answer == answerTaken) {
		return
	}
	x := &Exchange{
		App: e.id, Callback: b.app.Callback, Object: b.letters[0].object, Channel: b.letters[0].channel, Attempt: b.attempt,
		Deliveries: make([]Posted, len(b.letters)), Answer: r.answer.String(), Failure: r.failure, Status: r.status, Err: r.err, Connect: r.connect,
		Started: b.started, FirstByte: r.firstByte, Took: r.took, Reused: r.reused, RequestHeader: b.parcel.header, RequestBody: b.parcel.text,
		ResponseHeader: r.header, ResponseBody: r.kept,
	}
	for i, l := range b.letters {
		x.Deliveries[i] = Posted{Partition: l.partition, Position: l.position, Thread: l.thread, Attempts: b.attempt}
		for _, v := range verdicts {
			if v.letter == l {
				x.Deliveries[i].Outcome, x.Deliveries[i].Next = v.outcome, v.clock.next
			}
		}
	}
	e.journal.Exchanged(x)
}
