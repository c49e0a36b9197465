package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/baton-router/baton/pkg/bus/embedded/streamindex"
)

// TestIndexesAreWrittenWhileTheServerRuns: of a server that is killed, what came
// behind the index that it wrote last is all that a start reads.
func TestIndexesAreWrittenWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Start(Options{Dir: dir, Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo(s.User(), s.Password()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxMsgsPerSubject: -1}); err != nil {
		t.Fatal(err)
	}
	put := func(bytes int) {
		if _, err := js.Publish(t.Context(), "s", make([]byte, bytes)); err != nil {
			t.Fatal(err)
		}
	}
	put(100_000)
	s.writeIndexes()
	put(1000)
	// The files as kill -9 leaves them.
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(dir, "nats", "jetstream", accountBaton, "streams", "S"))); err != nil {
		t.Fatal(err)
	}
	if read, err := streamindex.Refresh(copied); err != nil || read < 1000 || read > 2000 {
		t.Errorf("%d bytes are read, %v", read, err)
	}
}
