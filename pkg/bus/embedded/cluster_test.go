package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/lifecycle/porttest"
)

// cluster starts three servers that know each other, as an operator would run
// them for the class cluster, and returns their URLs.
func cluster(t *testing.T) ([]*server.Server, string) {
	t.Helper()
	var servers []*server.Server
	var urls []string
	for _, o := range members(t) {
		servers = append(servers, enter(t, o))
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	return servers, strings.Join(urls, ",")
}

// members are three servers that are not started yet.
func members(t *testing.T) (list []server.Options) {
	t.Helper()
	ports := freePorts(t, 6)
	var routes []*url.URL
	for _, port := range ports[3:] {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range 3 {
		list = append(list, server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: ports[i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, MaxPayload: 9 << 20,
			Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[3+i]}, Routes: routes,
		})
	}
	return list
}

// enter starts a server of a cluster until the test ends.
func enter(t *testing.T, o server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	addresses, err := porttest.Reserve(n)
	if err != nil {
		t.Fatal(err)
	}
	var ports []int
	for _, address := range addresses {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, int(at.Port()))
	}
	return ports
}

// The same calls mean the same on three servers, and go on when the leader of a
// stream is killed.
func TestClusterKeepsThePromises(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	servers, urls := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	c := dialCluster(ctx, t, urls)
	seq := clusterFence(ctx, t, c)
	clusterBatches(ctx, t, c)

	got := make(chan bus.Message)
	var reader sync.WaitGroup
	readCtx, stopReading := context.WithCancel(ctx)
	reader.Go(func() {
		_ = c.ReadLog(readCtx, bus.ReadOptions{Partitions: []int{0}}, func(m bus.Message) error {
			select {
			case got <- m:
			case <-readCtx.Done():
			}
			return nil
		})
	})
	defer reader.Wait()
	defer stopReading()
	if m := <-got; m.Sequence != seq {
		t.Errorf("read %d, wanted %d", m.Sequence, seq)
	}
	killLeader(t, servers, bus.StreamLog)
	next := settle(ctx, t, c, seq)
	if m := <-got; m.Sequence != next || string(m.Data) != "after the kill" {
		t.Errorf("read %d (%q), wanted %d", m.Sequence, m.Data, next)
	}
}

func dialCluster(ctx context.Context, t *testing.T, urls string) *bus.Conn {
	t.Helper()
	c, err := bus.Dial(ctx, bus.Options{URL: urls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for {
		_, err := c.EnsureStreams(ctx, bus.Config{Partitions: 4, Replicas: 3})
		if err == nil {
			return c
		}
		if !bus.IsRetryable(err) || ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func clusterFence(ctx context.Context, t *testing.T, c *bus.Conn) uint64 {
	t.Helper()
	seq, err := c.AppendLog(ctx, 0, []byte("a"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppendLog(ctx, 0, []byte("zombie"), 0); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("zombie: %v", err)
	}
	for range 3 {
		if err := c.Barrier(ctx, 0, seq); err != nil {
			t.Error(err)
		}
	}
	if err := c.Barrier(ctx, 0, seq+1); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("barrier: %v", err)
	}
	_, err = c.SaveCursor(ctx, 1, []byte("x"), 0)
	_, rosterErr := c.SaveRoster(ctx, []byte("x"), 0)
	if err := errors.Join(err, rosterErr); err != nil {
		t.Error(err)
	}
	inFlight(ctx, t, c)
	return seq
}

// inFlight publishes with one expectation from several goroutines: one is
// stored, the others are told one of the two reasons.
func inFlight(ctx context.Context, t *testing.T, c *bus.Conn) {
	t.Helper()
	var wg sync.WaitGroup
	outcomes := make(chan error, 8)
	for range cap(outcomes) {
		wg.Go(func() {
			_, err := c.AppendLog(ctx, 3, []byte("a"), 0)
			outcomes <- err
		})
	}
	wg.Wait()
	close(outcomes)
	stored := 0
	for err := range outcomes {
		switch {
		case err == nil:
			stored++
		case !errors.Is(err, bus.ErrInFlight) && !errors.Is(err, bus.ErrWrongSequence):
			t.Errorf("append beside others: %v", err)
		}
	}
	if stored != 1 {
		t.Errorf("%d of the appends with one expectation were stored", stored)
	}
}

func clusterBatches(ctx context.Context, t *testing.T, c *bus.Conn) {
	t.Helper()
	changes := []bus.ControlMessage{
		{Subject: bus.ControlSubject("page", 1, "taken"), ID: "0-1"}, {Subject: bus.ControlSubject("page", 1, "passed"), ID: "1-1"},
	}
	seqs, err := c.PublishControl(ctx, changes, []bus.CursorMove{{Partition: 0, Data: []byte("p0")}, {Partition: 1, Data: []byte("p1")}})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range seqs {
		if data, seq, err := c.ControlCursor(ctx, p); err != nil || seq != want || string(data) != fmt.Sprint("p", p) {
			t.Errorf("cursor %d: %q at %d, wanted %d, %v", p, data, seq, want, err)
		}
	}
	_, err = c.PublishControl(ctx, []bus.ControlMessage{{Subject: bus.ControlSubject("page", 1, "taken"), ID: "0-2"}},
		[]bus.CursorMove{{Partition: 0, Expected: seqs[0]}, {Partition: 1, Expected: seqs[1] + 1}})
	if !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("batch with a wrong cursor: %v", err)
	}
	if _, err := c.PublishControl(ctx, []bus.ControlMessage{{Subject: bus.ControlSubject("page", 1, "taken"), ID: "0-2"}},
		[]bus.CursorMove{{Partition: 0, Expected: seqs[0]}, {Partition: 1, Expected: seqs[1]}}); err != nil {
		t.Errorf("the right batch after it: %v", err)
	}
}

func killLeader(t *testing.T, servers []*server.Server, stream string) {
	t.Helper()
	for _, s := range servers {
		if s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			s.Shutdown()
			return
		}
	}
	t.Fatalf("%s has no leader", stream)
}

// settle appends as a holder does: it repeats the same record until it is
// stored or refused, and then looks whose record is there.
func settle(ctx context.Context, t *testing.T, c *bus.Conn, expected uint64) uint64 {
	t.Helper()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		seq, err := c.AppendLog(try, 0, []byte("after the kill"), expected)
		cancel()
		switch {
		case err == nil:
			return seq
		case errors.Is(err, bus.ErrWrongSequence):
			m, err := c.NextLog(ctx, 0, expected)
			if err != nil || string(m.Data) != "after the kill" {
				t.Fatalf("record after the expected one: %q, %v", m.Data, err)
			}
			return m.Sequence
		case !bus.IsRetryable(err) || ctx.Err() != nil:
			t.Fatal(err)
		}
	}
}
