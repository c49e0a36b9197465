package main

import (
	"context"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/deadletter"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
	"github.com/baton-router/baton/pkg/store"
	"github.com/baton-router/baton/pkg/telemetry"
	"github.com/baton-router/baton/services/fanout"
)

// journal keeps what operators ask about later: dead letters on the stream, and
// in the node's own log every exchange that failed and a sample of the others.
// The log is off the way of deliveries: what its queue has no room for is
// counted and forgotten.
type journal struct {
	letters *deadletter.Keeper
	log     *store.DeliveryLog // nil for none
	sample  uint64             // one in so many that were taken; 0 for none
	body    int                // bytes of a body that are kept
	taken   atomic.Uint64
	queue   chan *deliveryv1.Exchange
	dropped telemetry.Counter
	size    telemetry.Gauge
	logger  *slog.Logger
}

var _ fanout.Journal = (*journal)(nil)

// Bounds of the queue before the log, and of what is written at once.
const (
	journalQueue = 1024
	journalBatch = 128
)

// openJournal opens what the node remembers of deliveries.
func (n *node) openJournal(context.Context) (err error) {
	n.letters = deadletter.New(n.bus, n.identity.BatonID)
	n.journal = &journal{
		letters: n.letters, body: int(n.cfg.DeliveryLog.BodyBytes), sample: uint64(n.cfg.DeliveryLog.Successes),
		queue: make(chan *deliveryv1.Exchange, journalQueue), dropped: n.metrics.DeliveryLogDropped,
		size: n.metrics.DeliveryLogBytes, logger: n.log.With("role", "fanout"),
	}
	if n.cfg.DeliveryLog.Bytes > 0 {
		n.journal.log, err = n.store.DeliveryLog(int64(n.cfg.DeliveryLog.Bytes), time.Duration(n.cfg.DeliveryLog.Age))
	}
	return err
}

// Wants implements fanout.Journal.
func (j *journal) Wants(_ control.AppID, taken bool) bool {
	switch {
	case j.log == nil:
		return false
	case !taken:
		return true
	}
	return j.sample > 0 && j.taken.Add(1)%j.sample == 0
}

// Exchanged implements fanout.Journal.
func (j *journal) Exchanged(x *fanout.Exchange) {
	if len(j.queue) == cap(j.queue) { // spares the copy
		j.dropped.Inc()
		return
	}
	select {
	case j.queue <- j.exchange(x):
	default:
		j.dropped.Inc()
	}
}

// Bury implements fanout.Journal.
func (j *journal) Bury(ctx context.Context, d *fanout.DeadLetter) error {
	l := &deliveryv1.DeadLetter{
		Key:   &deliveryv1.DeliveryKey{App: uint64(d.App), Partition: uint32(d.Partition), Position: uint64(d.Position)},
		Asset: d.Thread.Asset, Person: d.Thread.Person, Object: d.Object.String(), Channel: d.Channel.String(),
		DecidedAtMs: int64(d.DecidedAt), Outcome: string(d.Outcome), Attempts: uint32(min(d.Attempts, 1<<30)), Status: uint32(d.Status),
		BuriedAtMs: time.Now().UnixMilli(), Failure: string(d.Failure),
	}
	if d.Attempts > 0 {
		l.Answer = d.Answer
	}
	if !d.First.IsZero() {
		l.FirstFailureMs = d.First.UnixMilli()
	}
	if d.Err != nil {
		l.Error = d.Err.Error()
	}
	return j.letters.Bury(ctx, l)
}

// run writes the log until ctx ends and the queue is empty.
func (j *journal) run(ctx context.Context) error {
	for {
		select {
		case x := <-j.queue:
			j.write(x)
		case <-ctx.Done():
			for len(j.queue) > 0 {
				j.write(<-j.queue)
			}
			return nil
		}
	}
}

// write stores an exchange and what else is queued.
func (j *journal) write(x *deliveryv1.Exchange) {
	rows := make([][]byte, 0, journalBatch)
	for {
		if row, err := proto.Marshal(x); err == nil {
			rows = append(rows, row)
		}
		if len(rows) == journalBatch || len(j.queue) == 0 {
			break
		}
		x = <-j.queue
	}
	if err := j.log.Append(control.Millis(time.Now().UnixMilli()), rows...); err != nil {
		j.dropped.Add(len(rows))
		j.logger.Warn("delivery log not written", "err", err)
	}
	j.size.Set(float64(j.log.Bytes()))
}

// exchange copies what is kept of an exchange.
func (j *journal) exchange(x *fanout.Exchange) *deliveryv1.Exchange {
	e := &deliveryv1.Exchange{
		App: uint64(x.App), Callback: withoutQuery(x.Callback), Object: x.Object.String(), Channel: x.Channel.String(),
		Attempt: uint32(x.Attempt), Answer: x.Answer, Failure: string(x.Failure), Status: uint32(x.Status),
		StartedAtMs: x.Started.UnixMilli(), FirstByteUs: x.FirstByte.Microseconds(), TookUs: x.Took.Microseconds(),
		Reused: x.Reused, RequestHeaders: shownHeaders(x.RequestHeader), RequestBody: j.cut(x.RequestBody),
		RequestBytes: uint64(len(x.RequestBody)), ResponseHeaders: shownHeaders(x.ResponseHeader), ResponseBody: j.cut(x.ResponseBody),
	}
	if !x.Reused {
		e.ConnectUs = x.Connect.Microseconds()
	}
	if x.Err != nil {
		e.Error = strings.ToValidUTF8(x.Err.Error(), "?")
	}
	for _, p := range x.Deliveries {
		event := &deliveryv1.PostedEvent{
			Partition: uint32(p.Partition), Position: uint64(p.Position), Asset: p.Thread.Asset, Person: p.Thread.Person,
			Outcome: string(p.Outcome),
		}
		if !p.Next.IsZero() {
			event.NextAtMs = p.Next.UnixMilli()
		}
		e.Events = append(e.Events, event)
	}
	return e
}

func (j *journal) cut(body []byte) []byte { return slices.Clone(body[:min(len(body), j.body)]) }

// withoutQuery is an address without what may be a secret in it.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}

// hiddenHeaders prove who somebody is, or that a body is genuine.
//
//nolint:gochecknoglobals // a constant table
var hiddenHeaders = []string{
	"Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie", "Webhook-Signature", "X-Hub-Signature", "X-Hub-Signature-256",
}

// Bounds of the headers that are kept of one message.
const (
	maxHeaders     = 40
	maxHeaderValue = 512
)

func shownHeaders(header map[string][]string) []*deliveryv1.Header {
	var shown []*deliveryv1.Header
	for _, name := range slices.Sorted(maps.Keys(header)) {
		value := strings.Join(header[name], ", ")
		if slices.Contains(hiddenHeaders, name) {
			value = "(hidden)"
		}
		value = strings.ToValidUTF8(value[:min(len(value), maxHeaderValue)], "?")
		shown = append(shown, &deliveryv1.Header{Name: strings.ToValidUTF8(name, "?"), Value: value})
		if len(shown) == maxHeaders {
			break
		}
	}
	return shown
}

// Newest implements console.DeliveryLog.
func (j *journal) Newest(since, until control.Millis, do func(*deliveryv1.Exchange) (more bool, err error)) error {
	if j.log == nil {
		return nil
	}
	return j.log.Newest(since, until, func(_ control.Millis, row []byte) (bool, error) {
		x := &deliveryv1.Exchange{}
		if err := proto.Unmarshal(row, x); err != nil {
			return false, err
		}
		return do(x)
	})
}
