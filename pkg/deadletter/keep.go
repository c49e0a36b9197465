package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// Bounds of one message of the stream.
const (
	maxGroup  = 512
	maxError  = 500  // bytes of an error's text that are kept
	maxQueued = 4096 // letters that wait for a group, at most
)

// ErrBusy is returned by Bury when too many letters wait already.
var ErrBusy = errors.New("deadletter: too many letters wait")

// Stream is where the letters are; *bus.Conn is one.
type Stream interface {
	LettersRange(ctx context.Context) (first, last uint64, err error)
	PublishLetters(ctx context.Context, data []byte) (uint64, error)
	ReadLetters(ctx context.Context, after uint64, fn func(bus.Message) error) error
}

// Keeper writes and reads dead letters. Safe for concurrent use.
type Keeper struct {
	stream  Stream
	batonID [16]byte
	spare   int
	turn    chan struct{} // held by whoever writes a group

	mu     sync.Mutex
	queued []*queued
}

// queued is a letter that waits for its group.
type queued struct {
	letter *deliveryv1.DeadLetter
	done   chan struct{} // closed when err is set
	err    error
}

// New makes a keeper for the streams of one installation.
func New(stream Stream, batonID [16]byte) *Keeper {
	return &Keeper{stream: stream, batonID: batonID, spare: defaultSpare, turn: make(chan struct{}, 1)}
}

// Bury keeps a letter. It is durable on return. Letters that are buried while
// another group is written share the next one: a dead app's thousands cost few
// syncs. The keeper owns the letter from now on. Errors: ErrBusy, that of ctx, or
// that of the bus; the letter may have been kept all the same, and burying it
// again does no harm.
func (k *Keeper) Bury(ctx context.Context, letter *deliveryv1.DeadLetter) error {
	letter.Error = cut(letter.GetError())
	q := &queued{letter: letter, done: make(chan struct{})}
	if !k.enqueue(q) {
		return ErrBusy
	}
	for {
		select {
		case <-q.done:
			return q.err
		case k.turn <- struct{}{}:
			k.write(ctx)
			<-k.turn
		case <-ctx.Done():
			return fmt.Errorf("deadletter: bury: %w", ctx.Err())
		}
	}
}

func (k *Keeper) enqueue(q *queued) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queued) >= maxQueued {
		return false
	}
	k.queued = append(k.queued, q)
	return true
}

// write stores the next group of those that wait. Called by whoever has the
// turn.
func (k *Keeper) write(ctx context.Context) {
	k.mu.Lock()
	n := min(len(k.queued), maxGroup)
	group := k.queued[:n:n]
	k.queued = k.queued[n:]
	k.mu.Unlock()
	if n == 0 {
		return
	}
	message := &deliveryv1.LetterGroup{Buried: make([]*deliveryv1.DeadLetter, n)}
	for i, q := range group {
		message.Buried[i] = q.letter
	}
	err := k.publish(ctx, message)
	for _, q := range group {
		q.err = err
		close(q.done)
	}
}

// Settle notes what became of dead letters: they are listed no longer. Durable
// on return; the error is that of the bus, after which some may be settled.
func (k *Keeper) Settle(ctx context.Context, settled []*deliveryv1.Settlement) error {
	for len(settled) > 0 {
		n := min(len(settled), maxGroup)
		if err := k.publish(ctx, &deliveryv1.LetterGroup{Settled: settled[:n]}); err != nil {
			return err
		}
		settled = settled[n:]
	}
	return nil
}

// Settles reports whether a message of the stream notes what became of letters.
// No message both buries and settles.
func Settles(data []byte) bool {
	var group deliveryv1.LetterGroup
	return proto.Unmarshal(data, &group) == nil && len(group.GetSettled()) > 0
}

func (k *Keeper) publish(ctx context.Context, group *deliveryv1.LetterGroup) error {
	group.BatonId = k.batonID[:]
	data, err := proto.Marshal(group)
	if err != nil {
		return fmt.Errorf("deadletter: encode: %w", err)
	}
	if _, err := k.stream.PublishLetters(ctx, data); err != nil {
		return fmt.Errorf("deadletter: keep: %w", err)
	}
	return nil
}
