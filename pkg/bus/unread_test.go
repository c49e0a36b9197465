package bus_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/baton-router/baton/pkg/bus"
	"github.com/baton-router/baton/pkg/bus/embedded"
)

// What a disk has spoilt, the server passes over as if it had never been. The only
// writer of the log knows better: to take it for nothing would begin a second
// history.
func TestWhatTheServerPassesOverIsDamaged(t *testing.T) {
	t.Parallel()
	records := [][]byte{bytes.Repeat([]byte("first "), 9), bytes.Repeat([]byte("second "), 9), bytes.Repeat([]byte("third "), 9)}
	for name, spoilt := range map[string]int{"in between": 1, "the newest": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: dir}))
			c := dialSole(t, s)
			ensure(t, c, config())
			last := uint64(0)
			for _, r := range records {
				last = must[uint64](t)(c.AppendLog(brief(t), 0, r, last))
			}
			c.Close()
			s.Stop()
			flipOnDisk(t, dir, records[spoilt])
			s = must[*embedded.Server](t)(embedded.Start(embedded.Options{Dir: dir}))
			t.Cleanup(s.Stop)
			c = dialSole(t, s)
			_, err := c.EnsureStreams(brief(t), config())
			if spoilt == 2 {
				if !errors.Is(err, bus.ErrDamaged) {
					t.Errorf("a start without the newest message: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m, err := c.NextLog(brief(t), 0, 1); !errors.Is(err, bus.ErrDamaged) {
				t.Errorf("behind the first: %d, %v", m.Sequence, err)
			}
			if m, err := c.NextLog(brief(t), 0, 2); err != nil || m.Sequence != last {
				t.Errorf("behind the second: %d, %v", m.Sequence, err)
			}
			if m, err := c.LastLog(brief(t), 0); err != nil || m.Sequence != last {
				t.Errorf("the last: %d, %v", m.Sequence, err)
			}
		})
	}
}

// flipOnDisk flips a bit of a message where the server has it on its disk.
func flipOnDisk(t *testing.T, dir string, message []byte) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "nats/jetstream/*/streams/"+bus.StreamLog+"/msgs/*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("blocks %v: %v", blocks, err)
	}
	data, err := os.ReadFile(blocks[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, message)
	if at < 0 {
		t.Fatal("the message is nowhere")
	}
	data[at+len(message)/2] ^= 4
	if err := os.WriteFile(blocks[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
}
