package backup_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/baton-router/baton/pkg/backup"
	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 4

// server is an embedded server on a directory, and a connection to it as its
// only writer, or as one of many.
func server(t *testing.T, dir string, sole bool) *bus.Conn {
	t.Helper()
	s, err := embedded.Start(embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	c, err := bus.Dial(t.Context(), bus.Options{InProcess: s, User: s.User(), Password: s.Password(), Sole: sole})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func config() bus.Config {
	return bus.Config{Partitions: partitions, Replicas: 1, LettersAge: time.Hour, ControlAge: time.Hour, InboundBytes: 1 << 30}
}

// written is an installation with something on every stream, gaps included.
func written(t *testing.T, sole bool) *bus.Conn {
	t.Helper()
	c := server(t, t.TempDir(), sole)
	must(t, second(c.EnsureStreams(t.Context(), config())))
	for p := range uint64(3) {
		last := uint64(0)
		for n := range 3 {
			next, err := c.AppendLog(t.Context(), int(p), fmt.Appendf(nil, "record %d-%d", p, n), last)
			must(t, err)
			last = next
			must(t, c.Barrier(t.Context(), int(p), last))
			must(t, second(c.PublishInbound(t.Context(), int(p), fmt.Append(nil, "input ", n))))
		}
		seqs, err := c.PublishControl(t.Context(), []bus.ControlMessage{{Subject: bus.ControlSubject("page", 1, "taken"), ID: fmt.Sprint(p, "-1"), Data: []byte("x"), Header: [][2]string{{"Kind", "taken"}}}},
			[]bus.CursorMove{{Partition: int(p), Data: []byte("1")}})
		must(t, err)
		must(t, second(c.PublishControl(t.Context(), nil, []bus.CursorMove{{Partition: int(p), Data: []byte("2"), Expected: seqs[0]}})))
		first, err := c.SaveCursor(t.Context(), int(p), []byte("cursor"), 0)
		must(t, err)
		must(t, second(c.SaveCursor(t.Context(), int(p), []byte("newer cursor"), first)))
	}
	must(t, c.TrimInbound(t.Context(), 2))
	must(t, second(c.SaveRoster(t.Context(), []byte("roster"), 0)))
	must(t, second(c.PublishLetters(t.Context(), []byte("letter"))))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func second[T any](_ T, err error) error { return err }

// take writes a backup and returns its directory.
func take(t *testing.T, from backup.Source) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "deep", "backup")
	d, err := backup.NewDirectory(dir)
	must(t, err)
	m, err := backup.Take(t.Context(), from, "1.2.3", d.Create)
	must(t, err)
	must(t, d.Commit(&m))
	must(t, d.Abandon())
	return dir
}

// everything is what the streams hold.
func everything(t *testing.T, c *bus.Conn) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, stream := range bus.CopyOrder() {
		extent, err := c.CopyStream(ctx, stream, partitions, func(m bus.StoredMessage) error {
			all = append(all, fmt.Sprintf("%s %d %s %s %q %q", stream, m.Sequence, m.Subject, m.At.UTC(), m.Header, m.Data))
			return nil
		})
		must(t, err)
		all = append(all, fmt.Sprintf("%s %+v", stream, extent))
	}
	return all
}
