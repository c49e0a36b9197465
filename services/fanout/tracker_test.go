package fanout

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	cursorv1 "github.com/baton-router/baton/pkg/gen/baton/cursor/v1"
)

// TestCursorRemembersExactlyWhatIsUndelivered compares a tracker, saved and
// restored at random, with a plain set.
func TestCursorRemembersExactlyWhatIsUndelivered(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		track := newTracker(&mark{})
		open := map[control.Position]bool{} // offered or owed, not finished
		head := control.Position(0)
		for range 60 {
			switch rng.IntN(4) {
			case 0, 1:
				head = readRecord(rng, &track, open, head)
			case 2:
				finishSome(rng, &track, open)
			case 3:
				track = saveAndRestore(t, &track)
			}
			checkTracker(t, seed, &track, open)
		}
	}
}

// readRecord offers what a record of up to six positions holds for the app: what
// is owed before anything else.
func readRecord(rng *rand.Rand, track *tracker, open map[control.Position]bool, head control.Position) control.Position {
	before := track.at
	last := before.position + 1 + control.Position(rng.IntN(6))
	if track.read > before.position {
		last = max(last, track.read)
	}
	for p := before.position + 1; p <= last; p++ {
		if !track.wants(p) || p > head && rng.IntN(3) == 0 { // not for this app
			continue
		}
		track.offered(p, before)
		open[p] = true
	}
	track.advance(last, &mark{position: last, sequence: uint64(last) * 10})
	return max(head, last)
}

func finishSome(rng *rand.Rand, track *tracker, open map[control.Position]bool) {
	for _, o := range slices.Clone(track.open) {
		if !o.done && rng.IntN(3) == 0 {
			track.fail(o.position, failure{attempts: 1})
			if !track.finish(o.position) {
				panic("not open")
			}
			delete(open, o.position)
		}
	}
}

func saveAndRestore(t *testing.T, track *tracker) tracker {
	t.Helper()
	data, err := proto.Marshal(encodeTracker(testApp, track, maxFailures))
	if err != nil {
		t.Fatal(err)
	}
	var a cursorv1.App
	if err := proto.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	restored, err := decodeTracker(&a)
	if err != nil {
		t.Fatal(err)
	}
	return restored
}

func checkTracker(t *testing.T, seed uint64, track *tracker, open map[control.Position]bool) {
	t.Helper()
	got := track.undelivered(nil)
	var want []control.Position
	for p := range open {
		want = append(want, p)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("seed %d: undelivered (-want +got):\n%s", seed, diff)
	}
	if track.unfinished() != len(want) {
		t.Fatalf("seed %d: %d unfinished, want %d", seed, track.unfinished(), len(want))
	}
	if len(want) > 0 && (track.watermark() >= want[0] || track.from().position >= want[0]) {
		t.Fatalf("seed %d: watermark %d, reading from %d, but %d is open", seed, track.watermark(), track.from().position, want[0])
	}
	if len(want) == 0 && track.watermark() != track.known() {
		t.Fatalf("seed %d: watermark %d, known %d, nothing open", seed, track.watermark(), track.known())
	}
}

func TestRetryClocksAreKeptWithTheCursor(t *testing.T) {
	t.Parallel()
	track := newTracker(&mark{position: 10})
	for p := control.Position(11); p <= 14; p++ {
		track.offered(p, track.at)
	}
	track.advance(14, &mark{position: 14})
	at := time.UnixMilli(1790000000000)
	track.fail(12, failure{attempts: 3, first: at, next: at.Add(time.Minute)})
	track.fail(13, failure{attempts: 1, first: at, next: at.Add(time.Second)})
	track.finish(13)
	restored := saveAndRestore(t, &track)
	want := map[control.Position]failure{12: {attempts: 3, first: at, next: at.Add(time.Minute)}}
	if diff := cmp.Diff(want, restored.failing, cmp.AllowUnexported(failure{})); diff != "" {
		t.Errorf("clocks (-want +got):\n%s", diff)
	}
	if a := encodeTracker(testApp, &track, 0); len(a.GetFailing()) != 0 || len(a.GetUndelivered()) != 3 {
		t.Errorf("without room for clocks: %v", a)
	}
}

// TestFullCursorFitsAMessage holds the bounds against NATS's default payload
// limit of 1 MiB.
func TestFullCursorFitsAMessage(t *testing.T) {
	t.Parallel()
	places := map[control.AppID]*place{}
	at := time.Now()
	for app := range control.AppID(10) {
		track := newTracker(&mark{position: 1 << 40, sequence: 1 << 42, epoch: 1 << 20, roster: 1 << 20})
		for i := range control.Position(maxOpenPerApp) {
			p := 1<<40 + 1 + i*97
			track.offered(p, track.at)
			if i%10 == 0 {
				track.fail(p, failure{attempts: 9, first: at, next: at})
			}
		}
		places[700000000000000+app] = &place{track: track}
	}
	if size := len(encodeCursor(&cursorv1.Cursor{}, places)); size > 1<<20 {
		t.Errorf("%d bytes", size)
	}
}

func TestDamagedCursorsAreRefused(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*cursorv1.App{
		"beyond read": {Watermark: 5, Read: 9, Undelivered: []uint64{1, 4}},
		"no distance": {Watermark: 5, Read: 9, Undelivered: []uint64{0}},
		"overflow":    {Watermark: 5, Read: 9, Undelivered: []uint64{1, ^uint64(0)}},
	} {
		if _, err := decodeTracker(a); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzCursor(f *testing.F) {
	track := newTracker(&mark{position: 3})
	track.offered(4, track.at)
	f.Add(encodeCursor(&cursorv1.Cursor{BatonId: make([]byte, 16)}, map[control.AppID]*place{1: {track: track}}))
	f.Fuzz(func(_ *testing.T, data []byte) {
		c, err := decodeCursor(data, [16]byte{})
		if err != nil {
			return
		}
		for _, a := range c.GetApps() {
			t, err := decodeTracker(a)
			if err != nil {
				continue
			}
			if w := t.watermark(); len(t.owed) > 0 && w >= t.owed[0] {
				panic("watermark beyond what is undelivered")
			}
		}
	})
}
