package streamindex

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/avl"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const streamName = "S"

// world is a server with a stream whose deletions are noted in it.
type world struct {
	t      *testing.T
	dir    string
	server *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
	log    *lines
}

// lines are what a server has warned of.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprintf(format, v...))
}

func (l *lines) Noticef(string, ...any)         {}
func (l *lines) Debugf(string, ...any)          {}
func (l *lines) Tracef(string, ...any)          {}
func (l *lines) Warnf(format string, v ...any)  { l.add(format, v...) }
func (l *lines) Errorf(format string, v ...any) { l.add(format, v...) }
func (l *lines) Fatalf(format string, v ...any) { l.add(format, v...) }
func (w *world) streamDir() string              { return streamDirOf(w.dir) }
func streamDirOf(dir string) string {
	return filepath.Join(dir, "jetstream", "$G", "streams", streamName)
}
func indexOf(dir string) string { return filepath.Join(dir, blocksDir, indexFile) }
func (w *world) must(err error) { w.t.Helper(); must(w.t, err) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t *testing.T, dir string) *world {
	t.Helper()
	w := &world{t: t, dir: dir}
	w.start()
	t.Cleanup(w.stop)
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	w.server, err = server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: w.dir, SyncAlways: true, MaxPayload: 2 << 20})
	w.must(err)
	w.log = &lines{}
	w.server.SetLoggerV2(w.log, false, false, false)
	w.server.Start()
	if !w.server.ReadyForConnections(time.Minute) {
		w.t.Fatal("the server does not start")
	}
	w.nc, err = nats.Connect("", nats.InProcessServer(w.server))
	w.must(err)
	w.js, err = jetstream.New(w.nc)
	w.must(err)
	w.stream, err = w.js.CreateOrUpdateStream(w.t.Context(), jetstream.StreamConfig{
		Name: streamName, Subjects: []string{"s.*"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: -1, AllowRollup: true, AllowMsgTTL: true,
	})
	w.must(err)
}

func (w *world) stop() {
	w.nc.Close()
	w.server.Shutdown()
	w.server.WaitForShutdown()
}

// publish stores messages of up to half a megabyte, so that a block holds some
// thirty; some replace what their subject had.
func (w *world) publish(r *rand.Rand, n int) {
	w.t.Helper()
	for range n {
		m := nats.NewMsg(fmt.Sprintf("s.%d", r.IntN(4)))
		m.Data = make([]byte, r.IntN(512<<10))
		switch r.IntN(8) {
		case 0:
			m.Subject = fmt.Sprintf("s.cursor%d", r.IntN(3))
			m.Header.Set("Nats-Rollup", "sub")
		case 1:
			m.Header.Set("Nats-TTL", "1h")
		case 2:
			m.Header.Set("Other", "Nats-TTL: no")
		}
		_, err := w.js.PublishMsg(w.t.Context(), m)
		w.must(err)
	}
}

// delete deletes some messages, the first among them.
func (w *world) delete(r *rand.Rand, n int) {
	w.t.Helper()
	info, err := w.stream.Info(w.t.Context())
	w.must(err)
	first := info.State.FirstSeq
	for i := range n {
		sequence := first + r.Uint64N(info.State.LastSeq-first)
		if i == 0 {
			sequence = first
		}
		err := w.stream.DeleteMsg(w.t.Context(), sequence)
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // it is gone already
			err = nil
		}
		w.must(err)
	}
}

func copyTo(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func parsed(t *testing.T, dir string) *index {
	t.Helper()
	raw, err := os.ReadFile(indexOf(dir))
	must(t, err)
	x, err := parse(raw, streamName)
	must(t, err)
	return x
}

// books are the parts of an index that must be equal. The server moves the
// first block of a subject when it looks for it, and counts times to live
// otherwise while it reads than while it writes.
func books(x *index) map[string]any {
	all := map[string]any{
		"messages": x.messages, "bytes": x.bytes, "first": [2]int64{int64(x.first.sequence), x.first.at},
		"last": [2]int64{int64(x.last.sequence), x.last.at}, "sum": x.sum,
	}
	for name, s := range x.subjects {
		all["subject "+name] = s.messages
	}
	for _, b := range x.blocks {
		var deleted []uint64
		b.deleted.Range(func(sequence uint64) bool { deleted = append(deleted, sequence); return true })
		all[fmt.Sprint("block ", b.number)] = []any{b.bytes, b.first.sequence, b.first.at, b.last.sequence, b.last.at, deleted}
	}
	return all
}

// TestRefreshWritesWhatTheServerWould: a history of messages, messages that
// replace others, and deletions; at points of it the files are taken as kill -9
// leaves them, and their index brought up to date is the one that the server
// writes itself at an orderly stop. The server then starts on it without a word.
func TestRefreshWritesWhatTheServerWould(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir())
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 3 {
		w.stop() // which writes the index
		w.start()
		w.publish(r, 20+r.IntN(20))
		w.delete(r, 1+round)
		w.publish(r, r.IntN(20))
		killed := copyTo(t, w.dir)
		read, err := Refresh(streamDirOf(killed))
		if err != nil || read == 0 {
			t.Fatalf("round %d: %d bytes, %v", round, read, err)
		}
		w.stop()
		if diff := cmp.Diff(books(parsed(t, w.streamDir())), books(parsed(t, streamDirOf(killed)))); diff != "" {
			t.Fatalf("round %d: the server's index (-) is not that of the refresh (+): %s", round, diff)
		}
		w.start()
		serves(t, w, killed)
	}
}

// serves starts a server on a copy, and compares what it has with the original.
func serves(t *testing.T, w *world, killed string) {
	t.Helper()
	again := newWorld(t, killed)
	for _, line := range again.log.all {
		if !strings.Contains(line, "TTL state is outdated") { // a file of its own, read on from where it ends
			t.Errorf("the server on a refreshed index warns: %s", line)
		}
	}
	want, err := w.stream.Info(t.Context(), jetstream.WithDeletedDetails(true), jetstream.WithSubjectFilter(">"))
	must(t, err)
	got, err := again.stream.Info(t.Context(), jetstream.WithDeletedDetails(true), jetstream.WithSubjectFilter(">"))
	must(t, err)
	want.State.Consumers, got.State.Consumers = 0, 0
	if diff := cmp.Diff(want.State, got.State); diff != "" {
		t.Fatalf("the server says (-), that on a refreshed index (+): %s", diff)
	}
	for sequence := want.State.FirstSeq; sequence <= want.State.LastSeq; sequence++ {
		a, err1 := w.stream.GetMsg(t.Context(), sequence)
		b, err2 := again.stream.GetMsg(t.Context(), sequence)
		if (err1 == nil) != (err2 == nil) || err1 == nil && (a.Subject != b.Subject || !bytes.Equal(a.Data, b.Data) || !a.Time.Equal(b.Time)) {
			t.Fatalf("message %d: %v, %v", sequence, err1, err2)
		}
	}
}

// killed returns the directory of a stream that was killed with records behind
// its index, in blocks behind that of the index.
func killedStream(t *testing.T) string {
	t.Helper()
	w := newWorld(t, t.TempDir())
	r := rand.New(rand.NewPCG(3, 4))
	w.publish(r, 40)
	w.stop()
	w.start()
	w.publish(r, 70)
	return streamDirOf(copyTo(t, w.dir))
}

// TestRefreshLeavesWhatIsNotAsExpected: damage, and what this package does not
// know, leave the index as it was.
func TestRefreshLeavesWhatIsNotAsExpected(t *testing.T) {
	t.Parallel()
	whole := killedStream(t)
	for name, change := range map[string]func(x *index, blocks string){
		"a changed byte in the newest block": func(x *index, blocks string) { flip(t, newest(x, blocks, 1), -100) },
		"a record that is cut off":           func(x *index, blocks string) { cut(t, newest(x, blocks, 1), 5) },
		"a block of the index is gone":       func(x *index, blocks string) { must(t, os.Remove(newest(x, blocks, -len(x.blocks)+1))) },
		"a block of the index is shorter":    func(x *index, blocks string) { must(t, os.Truncate(newest(x, blocks, -len(x.blocks)+1), 100)) },
		"the newest record is another":       func(x *index, blocks string) { must(t, os.Truncate(newest(x, blocks, 0), 0)) },
		"a changed byte in the index":        func(_ *index, blocks string) { flip(t, filepath.Join(blocks, indexFile), 20) },
		"an index that is cut off":           func(_ *index, blocks string) { cut(t, filepath.Join(blocks, indexFile), 9) },
		"an index of another format": func(_ *index, blocks string) {
			raw := readAll(t, filepath.Join(blocks, indexFile))
			raw[1]++
			body := raw[:len(raw)-sumSize]
			must(t, os.WriteFile(filepath.Join(blocks, indexFile), append(body, digest(streamName, body)...), 0o600))
		},
	} {
		dir := copyTo(t, whole)
		change(parsed(t, dir), filepath.Join(dir, blocksDir))
		before := readAll(t, indexOf(dir))
		if _, err := Refresh(dir); !errors.Is(err, errUnusable) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(before, readAll(t, indexOf(dir))) {
			t.Errorf("%s: the index has changed", name)
		}
	}
	if read, err := Refresh(whole); err != nil || read == 0 {
		t.Errorf("as it was: %d bytes, %v", read, err)
	}
	if read, err := Refresh(whole); err != nil || read != 0 {
		t.Errorf("a second time: %d bytes, %v", read, err)
	}
}

// TestRefreshPassesOverStreamsThatDropWithoutANote: of which what is deleted
// cannot be found again.
func TestRefreshPassesOverStreamsThatDropWithoutANote(t *testing.T) {
	t.Parallel()
	whole := killedStream(t)
	for _, field := range []string{`"max_msgs_per_subject":1`, `"max_msgs":5`, `"compression":"s2"`, `"retention":"interest"`, `"storage":"memory"`} {
		dir := copyTo(t, whole)
		meta := bytes.TrimSuffix(readAll(t, filepath.Join(dir, metaFile)), []byte("}"))
		must(t, os.WriteFile(filepath.Join(dir, metaFile), append(meta, ","+field+"}"...), 0o600))
		before := readAll(t, indexOf(dir))
		if read, err := Refresh(dir); err != nil || read != 0 || !bytes.Equal(before, readAll(t, indexOf(dir))) {
			t.Errorf("%s: %d bytes, %v", field, read, err)
		}
	}
}

// newest is the file of the last block of the index, or one after it.
func newest(x *index, blocks string, after int) string {
	return filepath.Join(blocks, fmt.Sprintf("%d.blk", int(x.blocks[len(x.blocks)-1].number)+after))
}

func readAll(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	must(t, err)
	return raw
}

// flip changes a byte; at is from the end when it is negative.
func flip(t *testing.T, file string, at int) {
	t.Helper()
	raw := readAll(t, file)
	raw[(len(raw)+at)%len(raw)] ^= 1
	must(t, os.WriteFile(file, raw, 0o600))
}

func cut(t *testing.T, file string, n int64) {
	t.Helper()
	found, err := os.Stat(file)
	must(t, err)
	must(t, os.Truncate(file, found.Size()-n))
}

// FuzzParse: an index reads back as it was written, and what is no index is
// refused.
func FuzzParse(f *testing.F) {
	x := index{subjects: map[string]*subject{"a": {1, 1, 1}}, blocks: []*block{{number: 1, deleted: set(3)}}, sum: make([]byte, sumSize)}
	f.Add(x.encode(streamName)[:40])
	f.Add([]byte{indexMagic, indexVersion, 1, 2, 3, 4, 5, 6, 0, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		raw := append(bytes.Clone(body), digest(streamName, body)...)
		x, err := parse(raw, streamName)
		if err != nil {
			if !errors.Is(err, errUnusable) {
				t.Fatal(err)
			}
			return
		}
		again, err := parse(x.encode(streamName), streamName)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(books(x), books(again)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzReadRecord: a record is a part of what it was read from.
func FuzzReadRecord(f *testing.F) {
	f.Add(make([]byte, leastRecord))
	f.Add(append([]byte{40, 0, 0, 128}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := readRecord(b)
		if ok && (len(r.raw) < leastRecord || len(r.raw) > len(b) || len(r.subject)+len(r.rest) > len(r.raw)-leastRecord) {
			t.Fatalf("%+v", r)
		}
	})
}

func set(sequences ...uint64) *avl.SequenceSet {
	s := &avl.SequenceSet{}
	for _, v := range sequences {
		s.Insert(v)
	}
	return s
}
