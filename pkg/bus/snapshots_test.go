package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus"
)

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func put(t *testing.T, c *bus.Conn, name string, content []byte) {
	t.Helper()
	if err := c.PutSnapshot(brief(t), name, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, c *bus.Conn) map[string]bus.SnapshotObject {
	t.Helper()
	list := map[string]bus.SnapshotObject{}
	for _, o := range must[[]bus.SnapshotObject](t)(c.SnapshotObjects(brief(t))) {
		list[o.Name] = o
	}
	return list
}

// content reads an object.
func content(t *testing.T, c *bus.Conn, name string) ([]byte, error) {
	t.Helper()
	b, at, err := c.ReadSnapshot(brief(t), name)
	if err == nil && at.IsZero() {
		t.Errorf("%s was stored at no time", name)
	}
	return b, err
}

func TestSnapshotObjects(t *testing.T) {
	t.Parallel()
	c := open(t)
	if list := names(t, c); len(list) != 0 {
		t.Errorf("at first: %v", list)
	}
	for _, size := range []int{0, 1, 512 << 10, 512<<10 + 1, 3 << 20} {
		put(t, c, "object", noise(size))
		if got := must[[]byte](t)(content(t, c, "object")); !bytes.Equal(got, noise(size)) {
			t.Errorf("%d bytes came back as %d others", size, len(got))
		}
		if list := names(t, c); len(list) != 1 || !list["object"].Holds(int64(size)) || list["object"].Holds(int64(size)+512<<10) {
			t.Errorf("listed: %v", list)
		}
	}
	failed := errors.New("enough")
	if err := c.GetSnapshot(brief(t), "object", refusing{failed}); !errors.Is(err, failed) {
		t.Errorf("a writer's error: %v", err)
	}
	if err := c.DeleteSnapshot(brief(t), "object"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteSnapshot(brief(t), "object"); err != nil {
		t.Errorf("again: %v", err)
	}
	if _, err := content(t, c, "object"); !errors.Is(err, bus.ErrNoMessage) {
		t.Errorf("after it was removed: %v", err)
	}
	if list := names(t, c); len(list) != 0 {
		t.Errorf("at last: %v", list)
	}
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }

// failing reads some bytes and then an error.
func failing(content []byte, err error) io.Reader {
	return io.MultiReader(bytes.NewReader(content), iotestErr{err})
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

func TestSnapshotThatIsNotFinishedDoesNotShow(t *testing.T) {
	t.Parallel()
	c := open(t)
	broken := errors.New("the file cannot be read")
	if err := c.PutSnapshot(brief(t), "object", failing(noise(1<<20), broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.PutSnapshot(ctx, "object", bytes.NewReader(noise(1<<20))); err == nil {
		t.Error("stored although the context had ended")
	}
	if list := names(t, c); len(list) != 0 {
		t.Errorf("listed: %v", list)
	}
	if n, err := c.SweepSnapshots(brief(t), time.Now().Add(time.Hour)); n != 0 || err != nil {
		t.Errorf("%d objects were left (%v)", n, err)
	}
}

// Other programs can read the objects.
func TestSnapshotObjectsAreAnObjectStore(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	put(t, c, "dir/object", noise(2<<20))
	objects := must[jetstream.ObjectStore](t)(administrator(t, s).ObjectStore(t.Context(), "BATON_SNAPSHOTS"))
	if got, err := objects.GetBytes(t.Context(), "dir/object"); err != nil || !bytes.Equal(got, noise(2<<20)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// What an upload left that was killed is swept when it is old enough; what is
// complete, or under way, stays.
func TestSweepSnapshots(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	put(t, c, "whole", noise(1<<20))
	js := administrator(t, s)
	must[*jetstream.PubAck](t)(js.Publish(t.Context(), "$O.BATON_SNAPSHOTS.C.left", []byte("half")))
	sweep := func(before time.Time, want int) {
		t.Helper()
		if n, err := c.SweepSnapshots(brief(t), before); n != want || err != nil {
			t.Errorf("swept %d (%v), wanted %d", n, err, want)
		}
	}
	sweep(time.Now().Add(-time.Hour), 0)
	sweep(time.Now().Add(time.Hour), 1)
	sweep(time.Now().Add(time.Hour), 0)
	if got := must[[]byte](t)(content(t, c, "whole")); !bytes.Equal(got, noise(1<<20)) {
		t.Error("the whole object has suffered")
	}
}

func TestDamagedSnapshotObjects(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	put(t, c, "object", noise(2<<20))
	js := administrator(t, s)
	stream := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamSnapshots))
	if err := stream.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := content(t, c, "object"); !errors.Is(err, bus.ErrDamaged) {
		t.Errorf("without one of its chunks: %v", err)
	}
	if list := names(t, c); list["object"].Holds(2 << 20) {
		t.Error("listed as whole")
	}
	subject := must[*jetstream.RawStreamMsg](t)(stream.GetMsg(t.Context(), 1)).Subject
	must[*jetstream.PubAck](t)(js.Publish(t.Context(), subject, noise(512<<10)))
	if _, err := content(t, c, "object"); !errors.Is(err, bus.ErrDamaged) {
		t.Errorf("with another chunk instead: %v", err)
	}
}

func TestSnapshotsNeedTheirStream(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	id := ensure(t, c, config())
	fill(t, c, 0, 0, 1)
	js := administrator(t, s)
	if err := js.DeleteStream(t.Context(), bus.StreamSnapshots); err != nil {
		t.Fatal(err)
	}
	_, listed := c.SnapshotObjects(brief(t))
	_, read := content(t, c, "object")
	_, swept := c.SweepSnapshots(brief(t), time.Now())
	for _, err := range []error{
		listed, read, swept, c.PutSnapshot(brief(t), "object", bytes.NewReader(nil)), c.DeleteSnapshot(brief(t), "object"),
	} {
		if !errors.Is(err, bus.ErrStreamMissing) {
			t.Errorf("got %v", err)
		}
	}
	if again := ensure(t, c, config()); again != id { // the next start makes it
		t.Errorf("identity %v, then %v", id, again)
	}
	put(t, c, "object", noise(10))
}

func TestFullSnapshotStoreLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, false)
	c := dial(t, s)
	ensure(t, c, config())
	js := administrator(t, s)
	full := must[jetstream.Stream](t)(js.Stream(t.Context(), bus.StreamSnapshots)).CachedInfo().Config
	full.MaxBytes = 1 << 20
	must[jetstream.Stream](t)(js.UpdateStream(t.Context(), full))
	if err := c.PutSnapshot(brief(t), "object", bytes.NewReader(noise(4<<20))); !errors.Is(err, bus.ErrStreamFull) {
		t.Errorf("got %v", err)
	}
	if list := names(t, c); len(list) != 0 {
		t.Errorf("listed: %v", list)
	}
	put(t, c, "small", noise(100<<10))
}
