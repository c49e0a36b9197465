package bus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// askerAnswers bounds the answers that wait: that to the question under way,
// and those to questions that were given up.
const askerAnswers = 64

// asker asks on a link, one question at a time. The connection's reader hands
// it the answer itself: between its question and the answer no goroutine of
// the client stands. It belongs to one goroutine.
type asker struct {
	*link
	inbox   string
	answers chan *nats.Msg
	asked   uint64
	late    *time.Timer
}

// newAsker returns an asker, which ends with its link.
func newAsker(l *link) (*asker, error) {
	a := &asker{link: l, inbox: nats.NewInbox() + ".", answers: make(chan *nats.Msg, askerAnswers), late: time.NewTimer(0)}
	a.late.Stop()
	if _, err := l.ChanSubscribe(a.inbox+"*", a.answers); err != nil {
		return nil, err
	}
	return a, l.FlushTimeout(l.timeout)
}

// request is that of its link. It sets m's reply subject.
func (a *asker) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	a.passOver()
	a.asked++
	m.Reply = a.inbox + strconv.FormatUint(a.asked, 10)
	ctx, done := a.watch(ctx)
	defer done()
	a.late.Reset(a.timeout)
	defer a.late.Stop()
	if err := a.PublishMsg(m); err != nil {
		return nil, err
	}
	for {
		select {
		case answer := <-a.answers:
			if answer.Subject != m.Reply {
				continue // to a question that was given up
			}
			return answer, refused(answer)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-a.late.C:
			return nil, errLate
		}
	}
}

// passOver drops the answers that have come to questions that were given up, so
// that there is room for the next one's own.
func (a *asker) passOver() {
	for {
		select {
		case <-a.answers:
		default:
			return
		}
	}
}

// errLate ends a question that got no answer within the link's time-out.
var errLate = errors.New("no answer in time")

// refused tells the server's word that nobody listens from an answer.
func refused(answer *nats.Msg) error {
	if len(answer.Data) == 0 && answer.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	return nil
}
