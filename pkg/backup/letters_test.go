package backup_test

import (
	"context"
	"testing"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/deadletter"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

// settling is an installation on which, once the cursors are copied, a letter is
// settled and another one buried.
type settling struct {
	*bus.Conn

	keeper *deadletter.Keeper
	t      *testing.T
}

func (s settling) CopyStream(ctx context.Context, name string, n int, fn func(bus.StoredMessage) error) (bus.Extent, error) {
	extent, err := s.Conn.CopyStream(ctx, name, n, fn)
	if name == bus.StreamCursor {
		must(s.t, s.keeper.Settle(ctx, []*deliveryv1.Settlement{{Key: letter(1).GetKey()}}))
		must(s.t, s.keeper.Bury(ctx, letter(2)))
	}
	return extent, err
}

func letter(position uint64) *deliveryv1.DeadLetter {
	return &deliveryv1.DeadLetter{Key: &deliveryv1.DeliveryKey{App: 5, Partition: 1, Position: position}}
}

// A letter that is ordered to be sent again while a backup runs stays listed in
// it, since the order may be missing in the cursors; one that is given up
// meanwhile is there too, since a cursor may have passed it.
func TestLettersBesideABackup(t *testing.T) {
	t.Parallel()
	from := server(t, t.TempDir(), true)
	id, err := from.EnsureStreams(t.Context(), config())
	must(t, err)
	keeper := deadletter.New(from, id.BatonID)
	must(t, keeper.Bury(t.Context(), letter(1)))
	b, err := backup.Open(t.Context(), take(t, settling{from, keeper, t}))
	must(t, err)
	to := server(t, t.TempDir(), true)
	must(t, b.Restore(t.Context(), to, config(), true))
	settled, last := 0, uint64(0)
	must(t, to.ReadLetters(t.Context(), 0, func(m bus.Message) error {
		if last = m.Sequence; deadletter.Settles(m.Data) {
			settled++
		}
		return nil
	}))
	if settled != 0 || last != 3 {
		t.Errorf("%d settlements, the last letter at %d, wanted none and 3", settled, last)
	}
}
