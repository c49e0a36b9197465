package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/baton-router/baton/pkg/bus"
)

// TestAnotherReplicaHasWhatOneDiskHasSpoilt is the README's advice for a damaged log:
// the server whose disk has spoilt a record leads, and passes over it; when another
// one leads, it is there. The newest record of a partition likewise, if nothing was
// written meanwhile: the server that has lost it confirms an end before it, so a
// partition halts whose store knows better.
func TestAnotherReplicaHasWhatOneDiskHasSpoilt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("elections take seconds")
	}
	list := members(t)
	var servers []*server.Server
	var urls []string
	for _, o := range list {
		servers = append(servers, enter(t, o))
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", o.Port))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := dialCluster(ctx, t, strings.Join(urls, ","))
	first := logged(ctx, t, c, 0, "first", 0)
	spoilt := logged(ctx, t, c, 0, "spoilt in the middle", first)
	newest := logged(ctx, t, c, 1, "spoilt as the newest", 0)
	last := logged(ctx, t, c, 0, "last", spoilt)

	bad := 2
	awaitCurrent(ctx, t, c, servers)
	servers[bad].Shutdown()
	servers[bad].WaitForShutdown()
	spoil(t, list[bad].StoreDir, "spoilt in the middle", "spoilt as the newest")
	servers[bad] = enter(t, list[bad])
	awaitCurrent(ctx, t, c, servers)
	lead(ctx, t, c, servers, bad)
	if m, err := c.NextLog(ctx, 0, first); err != nil || m.Sequence != last {
		t.Errorf("the server with the spoilt record gives %d (%q), %v", m.Sequence, m.Data, err)
	}
	if m, err := c.LastLog(ctx, 1); !errors.Is(err, bus.ErrNoMessage) {
		t.Errorf("the server with the spoilt record gives %d (%q)", m.Sequence, m.Data)
	}
	if err := c.Barrier(ctx, 1, 0); err != nil {
		t.Errorf("the end that it gives is not confirmed: %v", err)
	}

	lead(ctx, t, c, servers, 0)
	if m, err := c.NextLog(ctx, 0, first); err != nil || m.Sequence != spoilt {
		t.Errorf("another leader gives %d (%q), %v", m.Sequence, m.Data, err)
	}
	if m, err := c.LastLog(ctx, 1); err != nil || m.Sequence != newest {
		t.Errorf("another leader gives %d (%q), %v", m.Sequence, m.Data, err)
	}
}

func logged(ctx context.Context, t *testing.T, c *bus.Conn, p int, text string, after uint64) uint64 {
	t.Helper()
	seq, err := c.AppendLog(ctx, p, []byte(text), after)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// awaitCurrent waits until all servers have what the leader of the log has.
func awaitCurrent(ctx context.Context, t *testing.T, c *bus.Conn, servers []*server.Server) {
	t.Helper()
	poll(ctx, t, "all servers follow the log", func() bool {
		for _, s := range servers {
			if !s.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, bus.StreamLog) {
				return false
			}
		}
		_, err := c.LastLog(ctx, 0)
		return err == nil
	})
}

// lead makes a server the leader of the log, as the operator's command does.
func lead(ctx context.Context, t *testing.T, c *bus.Conn, servers []*server.Server, i int) {
	t.Helper()
	nc, err := nats.Connect(servers[(i+1)%3].ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	request := fmt.Appendf(nil, `{"placement":{"preferred":%q}}`, servers[i].Name())
	poll(ctx, t, servers[i].Name()+" leads the log", func() bool {
		if servers[i].JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, bus.StreamLog) {
			_, err := c.NextLog(ctx, 0, 0) // it answers
			return err == nil
		}
		_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+bus.StreamLog, request, time.Second)
		return false
	})
}

func poll(ctx context.Context, t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// spoil changes a byte of each text where a server keeps the messages of the log.
func spoil(t *testing.T, dir string, texts ...string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", bus.StreamLog, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks in %s: %v, %v", dir, blocks, err)
	}
	for _, text := range texts {
		found := 0
		for _, name := range blocks {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if at := bytes.Index(data, []byte(text)); at >= 0 {
				data[at+2] ^= 1
				found++
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if found != 1 {
			t.Fatalf("%q was found %d times", text, found)
		}
	}
}
