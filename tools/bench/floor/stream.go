package floor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// Stream is a JetStream stream that syncs, in this process.
type Stream struct {
	dir    string
	server *embedded.Server
	conn   *bus.Conn
	stored atomic.Uint64 // messages
}

// partitions of the stream, as many as Baton has.
const partitions = 64

// OpenStream makes one in a new directory below dir.
func OpenStream(ctx context.Context, dir string) (s *Stream, err error) {
	if dir, err = os.MkdirTemp(dir, "stream-"); err != nil {
		return nil, err
	}
	s = &Stream{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.server, err = embedded.Start(embedded.Options{Dir: dir, Sync: true}); err != nil {
		return s, err
	}
	s.conn, err = bus.Dial(ctx, bus.Options{InProcess: s.server, User: s.server.User(), Password: s.server.Password()})
	if err != nil {
		return s, err
	}
	_, err = s.conn.EnsureStreams(ctx, bus.Config{Partitions: partitions, Replicas: 1})
	return s, err
}

// Close ends the server and removes its directory.
func (s *Stream) Close() error {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Stop()
	}
	return os.RemoveAll(s.dir)
}

// Publish publishes messages of size bytes for a while, from several goroutines
// at once, each at least once, and returns how many. Each was on disk when its
// publish returned.
func (s *Stream) Publish(ctx context.Context, size, publishers int, d time.Duration) (messages int, err error) {
	until := time.Now().Add(d)
	var count atomic.Int64
	faults := make([]error, publishers)
	var publishing sync.WaitGroup
	for i := range publishers {
		publishing.Go(func() {
			data := make([]byte, size)
			for first := true; (first || time.Now().Before(until)) && faults[i] == nil; first = false {
				if _, faults[i] = s.conn.PublishInbound(ctx, i%partitions, data); faults[i] == nil {
					count.Add(1)
				}
			}
		})
	}
	publishing.Wait()
	s.stored.Add(uint64(count.Load()))
	return int(count.Load()), errors.Join(faults...)
}

// Read reads everything that was published, in order, and returns how many
// messages that were.
func (s *Stream) Read(ctx context.Context) (messages int, err error) {
	want := s.stored.Load()
	done := errors.New("that was the last")
	last := uint64(0)
	err = s.conn.ReadInbound(ctx, bus.ReadOptions{}, func(m bus.Message) error {
		if messages++; m.Sequence <= last {
			return fmt.Errorf("floor: sequence %d after %d", m.Sequence, last)
		}
		if last = m.Sequence; last == want {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	return messages, err
}
