package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// How a reader reads.
const (
	readMessages  = 2048             // waiting in memory, at most
	readBytes     = 16 << 20         // likewise
	readHeartbeat = time.Second / 2  // the shortest that NATS allows: a lost consumer is noticed within two
	readIdle      = 30 * time.Second // after which the server forgets a consumer whose reader is gone
	retryFirst    = 20 * time.Millisecond
	retryMost     = 2 * time.Second
)

// reader follows some subjects of a stream in order. It keeps one consumer and
// makes a new one behind the last message whenever something is lost.
type reader struct {
	conn     *Conn
	stream   string
	subjects []string
	next     uint64  // the first sequence still wanted
	last     bool    // begin with the last message of the subject instead
	bundles  string  // subject of the stream's bundles, "" for none
	wanted   []bool  // partitions wanted of a bundle; nil for all
	recent   *recent // what this process wrote last; nil when others write too
	ahead    int     // messages waiting in memory, at most; 0 for readMessages
	// raw gets the messages as they come, in the place of run's function.
	raw func(jetstream.Msg, *jetstream.MsgMetadata) error
}

// errBehind and errCaughtUp send a reader from the messages in memory to the
// stream and back.
var (
	errBehind   = errors.New("bus: older than what is held in memory")
	errCaughtUp = errors.New("bus: what is wanted next is held in memory")
)

// stopError carries an error of the caller's function through the retries.
type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }

// run reads until ctx ends or fn returns an error.
func (r *reader) run(ctx context.Context, fn func(Message) error) error {
	wait := retryFirst
	for {
		before := r.next
		err := r.follow(ctx, fn)
		if errors.Is(err, errBehind) {
			err = r.session(ctx, fn)
		}
		var stop *stopError
		switch {
		case errors.Is(err, errCaughtUp):
			continue
		case errors.As(err, &stop):
			return stop.err
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrStreamMissing), errors.Is(err, ErrClosed):
			return err
		}
		if r.next > before {
			wait = retryFirst
		}
		r.conn.logger.Debug("reader begins again", "stream", r.stream, "sequence", r.next, "err", err)
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, retryMost)
	}
}

// follow reads what this process has written itself, as it is acknowledged,
// until ctx ends. The error is errBehind when the stream must be read first.
func (r *reader) follow(ctx context.Context, fn func(Message) error) error {
	for r.recent != nil {
		bundles, more, err := r.recent.since(r.next)
		if err != nil {
			return err
		}
		for _, b := range bundles {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := r.handParts(b.parts, b.sequence, b.at, fn); err != nil {
				return &stopError{err}
			}
			r.next = b.sequence + 1
		}
		if len(bundles) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-more:
		}
	}
	return errBehind
}

// session makes a consumer and reads from it until something is lost, or what
// comes next is in memory. A broken connection ends it at once; a lost consumer
// shows by its heartbeat.
func (r *reader) session(ctx context.Context, fn func(Message) error) error {
	ctx, done := r.conn.reads.watch(ctx)
	defer done()
	consumer, err := r.consumer(ctx)
	if err != nil {
		return err
	}
	defer r.forget(consumer)
	if err := r.conn.reads.reached(ctx, "$JS.API.CONSUMER.MSG.NEXT."+r.stream+"."+consumer.CachedInfo().Name); err != nil {
		return fmt.Errorf("read %s: %w", r.stream, callError(err))
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(cmp.Or(r.ahead, readMessages), readBytes),
		jetstream.PullHeartbeat(readHeartbeat),
		jetstream.WithMessagesErrOnMissingHeartbeat(true),
	)
	if err != nil {
		return readError(err)
	}
	defer messages.Stop()
	for expected := uint64(1); ; expected++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return readError(err)
		}
		if err := r.accept(m, expected, fn); err != nil {
			return err
		}
		if r.recent != nil && r.recent.reaches(r.next) {
			return errCaughtUp
		}
	}
}

// accept hands one message on unless it was seen before. expected is the number
// that the consumer must have given it: another one means a gap.
func (r *reader) accept(m jetstream.Msg, expected uint64, fn func(Message) error) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != expected {
		return fmt.Errorf("message %d of the consumer instead of %d", meta.Sequence.Consumer, expected)
	}
	if meta.Sequence.Stream < r.next {
		return nil
	}
	if r.raw != nil {
		err = r.raw(m, meta)
	} else {
		err = r.hand(Message{
			Sequence:  meta.Sequence.Stream,
			Partition: partitionOf(m.Subject()),
			Data:      m.Data(),
			At:        meta.Timestamp,
			subject:   m.Subject(),
		}, fn)
	}
	if err != nil {
		return &stopError{err}
	}
	r.next, r.last = meta.Sequence.Stream+1, false
	return nil
}

// hand hands a message on, or of a bundle the parts that are wanted.
func (r *reader) hand(m Message, fn func(Message) error) error {
	if m.subject != r.bundles {
		return fn(m)
	}
	b, err := parseBundle(m.Data, m.Sequence)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.stream, err)
	}
	return r.handParts(b.parts, m.Sequence, m.At, fn)
}

func (r *reader) handParts(parts []part, sequence uint64, at time.Time, fn func(Message) error) error {
	for _, p := range parts {
		if r.wanted != nil && (p.partition >= len(r.wanted) || !r.wanted[p.partition]) {
			continue
		}
		if err := fn(Message{Sequence: sequence, Partition: p.partition, Data: p.data, At: at}); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, r.conn.timeout)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		Name:              "baton_" + nuid.Next(),
		AckPolicy:         jetstream.AckNonePolicy,
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       r.next,
		FilterSubjects:    r.subjects,
		InactiveThreshold: readIdle,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
	}
	if r.last {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverLastPolicy, 0
	}
	consumer, err := r.conn.js.CreateConsumer(ctx, r.stream, cfg)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.stream, adminError(err))
	}
	return consumer, nil
}

// forget has the consumer removed now rather than after its idle time. It waits
// for no answer: a partition does not move on before its readers have ended, and
// whether it works does not matter.
func (r *reader) forget(consumer jetstream.Consumer) {
	api := "$JS.API.CONSUMER.DELETE." + r.stream + "." + consumer.CachedInfo().Name
	if err := r.conn.reads.PublishRequest(api, r.conn.reads.NewInbox(), nil); err != nil {
		r.conn.logger.Debug("consumer not removed", "stream", r.stream, "err", err)
	}
}

func readError(err error) error {
	if errors.Is(err, jetstream.ErrMsgIteratorClosed) || errors.Is(err, jetstream.ErrConnectionClosed) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// pause waits, and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// readPartitions reads the messages of some partitions, alone or in bundles.
func (c *Conn) readPartitions(ctx context.Context, stream, prefix string, o ReadOptions, fn func(Message) error) error {
	r := reader{
		conn: c, stream: stream, next: o.After + 1, bundles: prefix + bundled, ahead: o.Ahead, recent: c.recentOf(stream),
	}
	var err error
	if r.subjects, r.wanted, err = c.subjects(prefix, o.Partitions); err != nil {
		return err
	}
	return r.run(ctx, fn)
}

// recentOf is what this process holds of a stream that it alone writes.
func (c *Conn) recentOf(stream string) *recent {
	switch {
	case stream == StreamLog && c.logWriter != nil:
		return c.logWriter.recent
	case stream == StreamInbound && c.inWriter != nil:
		return c.inWriter.recent
	}
	return nil
}

// subjects returns the filter for some partitions, and which parts of bundles
// are wanted. All of them are one wildcard, which costs the server less than a
// list.
func (c *Conn) subjects(prefix string, partitions []int) (list []string, wanted []bool, err error) {
	if partitions == nil {
		return []string{prefix + "*"}, nil, nil
	}
	if len(partitions) == 0 {
		return nil, nil, fmt.Errorf("%w: no partitions to read", ErrInvalid)
	}
	list = []string{prefix + bundled}
	for _, p := range partitions {
		if err := c.check(p); err != nil {
			return nil, nil, err
		}
		if wanted = append(wanted, make([]bool, max(0, p+1-len(wanted)))...); !wanted[p] {
			wanted[p] = true
			list = append(list, at(prefix, p))
		}
	}
	if n := c.partitions.Load(); n > 0 && int64(len(list)) == n+1 {
		return []string{prefix + "*"}, nil, nil
	}
	return list, wanted, nil
}
