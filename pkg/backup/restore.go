package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/bus"
)

// Target is a server that streams are restored on. Implemented by *bus.Conn.
type Target interface {
	CanRestore() error
	Occupied(ctx context.Context) ([]string, error)
	RestoreStream(ctx context.Context, cfg bus.Config, id bus.Identity, name string, extent bus.Extent, archive io.Reader) error
	DropStream(ctx context.Context, name string) error
}

// dropWithin bounds the removal of what a failed restore has made.
const dropWithin = 30 * time.Second

// Fits reports an ErrMismatch when the backup cannot be restored with a
// configuration of the streams; embedded says that they will belong to an
// embedded server.
func (b *Backup) Fits(cfg bus.Config, embedded bool) error {
	if cfg.Partitions != b.Partitions {
		return fmt.Errorf("%w: the backup has %d partitions, the configuration %d: the number is fixed for ever, set partitions: %d",
			ErrMismatch, b.Partitions, cfg.Partitions, b.Partitions)
	}
	if b.Bundled && !embedded {
		return fmt.Errorf("%w: the backup is of an embedded server, whose messages hold several partitions; "+
			"servers of a cluster cannot fence them: restore it with the embedded server (without nats.url)", ErrMismatch)
	}
	return nil
}

// Restore makes the streams of a server that has none of Baton's, with the
// identity, sequences and times that they had and the settings of cfg. Durable
// on return as the server is. When it fails, it removes what it has made, and
// the error names what it could not remove. Errors: ErrMismatch, ErrNotEmpty,
// those of the bus.
func (b *Backup) Restore(ctx context.Context, to Target, cfg bus.Config, embedded bool) error {
	if err := b.Fits(cfg, embedded); err != nil {
		return err
	}
	if err := Ready(ctx, to); err != nil {
		return err
	}
	id, err := b.identity()
	if err != nil {
		return err
	}
	// The log first: a Baton that starts too early sees it alone, and refuses.
	order := slices.Clone(b.Streams)
	slices.SortStableFunc(order, func(a, b Stream) int { return isLog(b) - isLog(a) })
	for i := range order {
		if err := b.restore(ctx, to, cfg, id, &order[i]); err != nil {
			return errors.Join(err, drop(ctx, to, order[:i]))
		}
	}
	return nil
}

func isLog(s Stream) int {
	if s.Name == bus.StreamLog {
		return 1
	}
	return 0
}

// Ready reports why a server cannot be restored on: ErrNotEmpty, or ErrServer of
// the bus.
func Ready(ctx context.Context, to Target) error {
	if err := to.CanRestore(); err != nil {
		return err
	}
	taken, err := to.Occupied(ctx)
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		return fmt.Errorf("%w: the server has %s: a restore needs a server, or an account, without them", ErrNotEmpty, strings.Join(taken, ", "))
	}
	return nil
}

func (b *Backup) restore(ctx context.Context, to Target, cfg bus.Config, id bus.Identity, s *Stream) error {
	f, err := os.Open(filepath.Join(b.dir, s.File))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	archive, err := archiveOf(s, f)
	if err != nil {
		return err
	}
	return to.RestoreStream(ctx, cfg, id, s.Name, bus.Extent{First: s.First, Last: s.Last, Messages: s.Messages}, archive)
}

// drop removes streams that a failed restore has made, whatever became of its
// context.
func drop(ctx context.Context, to Target, made []Stream) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropWithin)
	defer cancel()
	var faults []error
	for _, s := range made {
		if err := to.DropStream(ctx, s.Name); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}
