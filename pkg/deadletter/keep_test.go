package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
	"github.com/baton-router/baton/pkg/deadletter"
	deliveryv1 "github.com/baton-router/baton/pkg/gen/baton/delivery/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server with the streams.
func world(t *testing.T) (*bus.Conn, bus.Identity) {
	t.Helper()
	server, err := embedded.Start(embedded.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := bus.Dial(t.Context(), bus.Options{InProcess: server, User: server.User(), Password: server.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	id, err := conn.EnsureStreams(t.Context(), bus.Config{Partitions: 4, Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	return conn, id
}

func letter(app uint64, p uint32, position uint64, outcome string) *deliveryv1.DeadLetter {
	return &deliveryv1.DeadLetter{
		Key: &deliveryv1.DeliveryKey{App: app, Partition: p, Position: position}, Asset: 100, Person: 9000 + position, Outcome: outcome,
		DecidedAtMs: int64(1000 * position), Answer: "rejected", Failure: "status", Status: 422,
	}
}

func ids(letters []*deliveryv1.DeadLetter) []string {
	list := make([]string, len(letters))
	for i, l := range letters {
		list[i] = fmt.Sprintf("%d:%d-%d", l.GetKey().GetApp(), l.GetKey().GetPartition(), l.GetKey().GetPosition())
	}
	return list
}

func list(t *testing.T, k *deadletter.Keeper, f deadletter.Filter) []string {
	t.Helper()
	letters, more, err := k.List(t.Context(), f, 1000)
	if err != nil || more {
		t.Fatalf("more %v, %v", more, err)
	}
	return ids(letters)
}

func TestLettersStayUntilTheyAreSettled(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	k := deadletter.New(conn, id.BatonID)
	for _, l := range []*deliveryv1.DeadLetter{letter(1, 0, 5, "rejected"), letter(1, 2, 7, "exhausted"), letter(2, 0, 5, "retention")} {
		if err := k.Bury(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	// Another node sees the same.
	other := deadletter.New(conn, id.BatonID)
	if got := list(t, other, deadletter.All()); !slices.Equal(got, []string{"1:0-5", "1:2-7", "2:0-5"}) {
		t.Fatalf("listed %v", got)
	}
	if err := other.Settle(t.Context(), []*deliveryv1.Settlement{{Key: &deliveryv1.DeliveryKey{App: 1, Position: 5}, How: "resent"}}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, k, deadletter.All()); !slices.Equal(got, []string{"1:2-7", "2:0-5"}) {
		t.Fatalf("after a settlement %v", got)
	}
	// It fails again: a dead letter once more, with its new story. Burying
	// twice, as after a crash, lists it once.
	for range 2 {
		again := letter(1, 0, 5, "exhausted")
		again.Attempts = 9
		if err := k.Bury(t.Context(), again); err != nil {
			t.Fatal(err)
		}
	}
	letters, _, err := k.List(t.Context(), deadletter.Filter{App: 1, Partition: 0}, 10)
	if err != nil || len(letters) != 1 || letters[0].GetAttempts() != 9 {
		t.Fatalf("%v, %v", letters, err)
	}
}

func TestFilterSelects(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	k := deadletter.New(conn, id.BatonID)
	for i := range uint64(4) {
		if err := k.Bury(t.Context(), letter(1+i%2, uint32(i), 10+i, []string{"rejected", "exhausted"}[i/2])); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"1:0-10", "2:1-11", "1:2-12", "2:3-13"}
	for name, c := range map[string]struct {
		change func(*deadletter.Filter)
		want   []string
	}{
		"all":       {func(*deadletter.Filter) {}, all},
		"app":       {func(f *deadletter.Filter) { f.App = 2 }, []string{all[1], all[3]}},
		"page":      {func(f *deadletter.Filter) { f.Asset = 99 }, nil},
		"person":    {func(f *deadletter.Filter) { f.Asset, f.Person = 100, 9012 }, []string{all[2]}},
		"partition": {func(f *deadletter.Filter) { f.Partition = 3 }, []string{all[3]}},
		"positions": {func(f *deadletter.Filter) { f.From, f.To = 11, 12 }, all[1:3]},
		"times":     {func(f *deadletter.Filter) { f.Since, f.Until = 11_000, 13_000 }, all[1:3]},
		"outcome":   {func(f *deadletter.Filter) { f.Class = "exhausted" }, all[2:]},
		"status":    {func(f *deadletter.Filter) { f.Class = "422" }, all},
		"nothing":   {func(f *deadletter.Filter) { f.Class = "dns" }, nil},
	} {
		f := deadletter.All()
		c.change(&f)
		if got := list(t, k, f); !slices.Equal(got, append([]string{}, c.want...)) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if letters, more, err := k.List(t.Context(), deadletter.All(), 2); err != nil || !more || len(letters) != 2 {
		t.Errorf("limit: %v, %v, %v", ids(letters), more, err)
	}
}

// counting counts the messages written, and can fail.
type counting struct {
	*bus.Conn
	writes atomic.Int32
	reads  atomic.Int32
	broken atomic.Bool
	gate   chan struct{} // nil, or passed by each write
}

var errBroken = errors.New("broken")

func (c *counting) PublishLetters(ctx context.Context, data []byte) (uint64, error) {
	if c.gate != nil {
		<-c.gate
	}
	if c.broken.Load() {
		return 0, errBroken
	}
	c.writes.Add(1)
	return c.Conn.PublishLetters(ctx, data)
}

func (c *counting) ReadLetters(ctx context.Context, after uint64, fn func(bus.Message) error) error {
	c.reads.Add(1)
	return c.Conn.ReadLetters(ctx, after, fn)
}

func TestAListReadsTheStreamOnce(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	stream := &counting{Conn: conn}
	k := deadletter.New(stream, id.BatonID)
	k.Spare(3)
	bury := func(position uint64) {
		if err := k.Bury(t.Context(), letter(1, 0, position, "rejected")); err != nil {
			t.Fatal(err)
		}
	}
	settle := func(positions ...uint64) {
		for _, p := range positions {
			if err := k.Settle(t.Context(), []*deliveryv1.Settlement{{Key: &deliveryv1.DeliveryKey{App: 1, Position: p}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(want []string, wantMore bool, reads int32) {
		t.Helper()
		stream.reads.Store(0)
		letters, more, err := k.List(t.Context(), deadletter.All(), 2)
		if err != nil || more != wantMore || !slices.Equal(ids(letters), want) || stream.reads.Load() != reads {
			t.Fatalf("%v, more %v, %v, after %d reads; want %v, %v, %d", ids(letters), more, err, stream.reads.Load(), want, wantMore, reads)
		}
	}
	for p := range uint64(8) {
		bury(p + 1)
	}
	check([]string{"1:0-1", "1:0-2"}, true, 1)
	settle(1, 3)
	check([]string{"1:0-2", "1:0-4"}, true, 1)
	settle(2, 4) // of the five that are kept only the fifth is left
	check([]string{"1:0-5", "1:0-6"}, true, 2)
	bury(1) // again: the last one now
	settle(5, 6, 7)
	check([]string{"1:0-8", "1:0-1"}, false, 2)
	settle(8)
	check([]string{"1:0-1"}, false, 2)
}

func TestCensusFollowsTheStream(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	k := deadletter.New(conn, id.BatonID)
	c := k.NewCensus()
	want := func(one, two int) {
		t.Helper()
		if err := c.Renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.Counts(); got[1] != one || got[2] != two {
			t.Fatalf("counted %v, want %d and %d", got, one, two)
		}
	}
	want(0, 0)
	for i := range uint64(3) {
		if err := k.Bury(t.Context(), letter(1+i%2, 0, i+1, "rejected")); err != nil {
			t.Fatal(err)
		}
	}
	want(2, 1)
	if err := k.Bury(t.Context(), letter(1, 0, 1, "exhausted")); err != nil { // again, as after a crash
		t.Fatal(err)
	}
	want(2, 1)
	gone := []*deliveryv1.Settlement{{Key: &deliveryv1.DeliveryKey{App: 2, Position: 2}}, {Key: &deliveryv1.DeliveryKey{App: 9, Position: 9}}}
	for range 2 { // once more says nothing new
		if err := k.Settle(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		want(2, 0)
	}
	fresh := k.NewCensus()
	if err := fresh.Renew(t.Context()); err != nil || fresh.Counts()[1] != 2 || fresh.Counts()[2] != 0 {
		t.Errorf("anew: %v, %v", fresh.Counts(), err)
	}
}

func TestLettersThatWaitShareAMessage(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	stream := &counting{Conn: conn, gate: make(chan struct{})}
	k := deadletter.New(stream, id.BatonID)
	var wg, begun sync.WaitGroup
	for i := range uint64(200) {
		begun.Add(1)
		wg.Go(func() {
			begun.Done()
			if err := k.Bury(t.Context(), letter(1, 0, i+1, "exhausted")); err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	go func() {
		for {
			select {
			case stream.gate <- struct{}{}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	wg.Wait()
	if n := len(list(t, k, deadletter.All())); n != 200 {
		t.Errorf("%d letters", n)
	}
	if n := stream.writes.Load(); n > 100 {
		t.Errorf("%d messages for 200 letters", n)
	}
}

func TestWhatCannotBeKeptIsSaid(t *testing.T) {
	t.Parallel()
	conn, id := world(t)
	stream := &counting{Conn: conn}
	stream.broken.Store(true)
	k := deadletter.New(stream, id.BatonID)
	if err := k.Bury(t.Context(), letter(1, 0, 1, "exhausted")); !errors.Is(err, errBroken) {
		t.Fatalf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	stream.broken.Store(false)
	_ = k.Bury(ended, letter(1, 0, 2, "exhausted")) // kept or not
	l := letter(1, 0, 3, "exhausted")
	l.Error = strings.Repeat("x\xff", 10_000)
	if err := k.Bury(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	letters, _, err := k.List(t.Context(), deadletter.Filter{Partition: -1, From: 3}, 10)
	if err != nil || len(letters) != 1 || len(letters[0].GetError()) > 1000 {
		t.Fatalf("%v, %v", letters, err)
	}
}

func TestForeignLettersAreRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"garbage": []byte("\xff\xff\xff"),
		"another installation's": func() []byte {
			data, _ := proto.Marshal(&deliveryv1.LetterGroup{BatonId: make([]byte, 16)})
			return data
		}(),
	} {
		conn, id := world(t)
		if _, err := conn.PublishLetters(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		_, _, err := deadletter.New(conn, id.BatonID).List(t.Context(), deadletter.All(), 10)
		if !errors.Is(err, deadletter.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
