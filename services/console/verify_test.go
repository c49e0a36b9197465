package console

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/partition"
	"github.com/baton-router/baton/pkg/store"
)

func (w *world) verify() *adminv1.VerifyLogResponse {
	w.t.Helper()
	resp, err := w.client("").VerifyLog(brief(w.t), connect.NewRequest(&adminv1.VerifyLogRequest{}))
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Msg
}

func TestVerifyLogFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range uint64(20) {
		w.give(n+1, bot)
	}
	if v := w.verify(); !v.GetOk() || v.GetPartitions() != partitions || v.GetEvents() != 20 {
		t.Fatalf("sound: %v", v)
	}
	key := control.ThreadKey{Asset: pageID, Person: 1}
	p := partition.Of(key, partitions)
	part, _ := w.store.Partition(p)
	rec := eventlog.Record{
		Partition: uint32(p), Epoch: 1, First: part.Applied().Position + 1, DecidedAt: w.now, RosterVersion: 1, BatonID: [16]byte{1},
		Entries: []eventlog.Entry{{Thread: key, Event: control.Released{}}}, Prev: part.Applied().Hash,
	}
	raw := eventlog.Encode(&rec)
	last, err := w.conn.LastLog(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	tampered := slices.Clone(raw)
	tampered[len(tampered)/2] ^= 1
	seq, err := w.conn.AppendLog(t.Context(), p, tampered, last.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if err := part.Apply(&rec, raw, seq, []store.Change{{Thread: key}}); err != nil {
		t.Fatal(err)
	}
	v := w.verify()
	faults := strings.Join(v.GetFaults(), "\n")
	if v.GetOk() || !strings.Contains(faults, fmt.Sprintf("record at sequence %d", seq)) || !strings.Contains(faults, "the store's record") {
		t.Errorf("a tampered record: %v", v)
	}
	if v.GetPartitions() != partitions {
		t.Errorf("%d partitions verified: one bad record ends no other's verification", v.GetPartitions())
	}
}

func TestVerifyLogFindsAStoreThatDisagrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.give(1, bot)
	w.give(1, agent)
	p := partition.Of(control.ThreadKey{Asset: pageID, Person: 1}, partitions)
	part, _ := w.store.Partition(p)
	if err := part.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := w.verify(); v.GetOk() || !strings.Contains(v.GetFaults()[0], "the store ends before") {
		t.Errorf("an empty store: %v", v)
	}
}

func TestReplayComparesWithTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range uint64(20) {
		w.give(n+1, bot)
	}
	replay := func() *adminv1.ReplayResponse {
		t.Helper()
		resp, err := w.client("").Replay(brief(t), connect.NewRequest(&adminv1.ReplayRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return resp.Msg
	}
	if r := replay(); !r.GetEqual() || r.GetReplayedDigest() != r.GetStoreDigest() || r.GetThreads() != 20 || r.GetEvents() != 20 {
		t.Fatalf("equal: %v", r)
	}
	// A record whose thread the store has projected otherwise.
	key := control.ThreadKey{Asset: pageID, Person: 1}
	p := partition.Of(key, partitions)
	part, _ := w.store.Partition(p)
	w.mu.Lock()
	w.write(part, []eventlog.Entry{{Thread: key, Event: control.DoneMarked{At: w.now, Done: true}}}, false, store.Change{Thread: key})
	w.mu.Unlock()
	if r := replay(); r.GetEqual() || !slices.Equal(r.GetDiffer(), []uint32{uint32(p)}) || r.GetReplayedDigest() == r.GetStoreDigest() {
		t.Errorf("unequal: %v", r)
	}
}
