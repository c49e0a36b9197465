package eventlog_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// TestKindsAreAllEvents keeps the generator, and with it the round trip,
// complete: every type with an event method is in it.
func TestKindsAreAllEvents(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "../control/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "event" && f.Recv != nil {
			if id, ok := f.Recv.List[0].Type.(*ast.Ident); ok {
				declared[id.Name] = true
			}
		}
	}
	listed := map[string]bool{}
	for _, e := range eventlogtest.Kinds() {
		listed[reflect.TypeOf(e).Name()] = true
	}
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("events of the core against eventlogtest.Kinds (-core +kinds):\n%s", diff)
	}
}

func TestEveryEventSurvivesTheRoundTrip(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(1, 2))
	for _, kind := range eventlogtest.Kinds() {
		for range 300 {
			want := eventlog.Record{Epoch: 1, First: 1, Entries: []eventlog.Entry{{Event: eventlogtest.FilledEvent(c, kind)}}}
			got, err := eventlog.Decode(eventlog.Encode(&want))
			if err != nil {
				t.Fatalf("%T: %v", kind, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%T (-encoded +decoded):\n%s", kind, diff)
			}
		}
	}
}

func TestHistoriesSurviveTheRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := eventlogtest.NewHistory(eventlogtest.Rapid(t), 3)
		for range 4 {
			want, raw := h.Next()
			got, err := eventlog.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*want, got); diff != "" {
				t.Fatalf("-encoded +decoded:\n%s", diff)
			}
			compareView(t, raw, &got)
			if again := eventlog.Encode(&got); !bytes.Equal(raw, again) {
				t.Fatalf("encoding again gives other bytes:\n%x\n%x", raw, again)
			}
		}
	})
}

// compareView: a view reads each entry as Decode does.
func compareView(t interface{ Fatalf(string, ...any) }, raw []byte, r *eventlog.Record) {
	v, err := eventlog.Look(raw)
	if err != nil || v.First() != r.First || v.Last() != r.Last() || v.DecidedAt() != r.DecidedAt {
		t.Fatalf("view %d to %d: %v, record %d to %d", v.First(), v.Last(), err, r.First, r.Last())
	}
	for i := range r.Entries {
		at := r.First + control.Position(i)
		e, ok, err := v.At(at)
		if want, has := r.At(at); err != nil || ok != has || has && !cmp.Equal(e, want) {
			t.Fatalf("position %d: %+v %v, Decode has %+v", at, e, err, want)
		}
	}
	if _, ok, err := v.At(r.Last() + 1); ok || err != nil {
		t.Fatalf("the view holds more than the record: %v", err)
	}
}

func TestEmptySlicesDecodeAsNil(t *testing.T) {
	t.Parallel()
	e := control.SendAccepted{Buttons: []uint64{}, Answers: &control.Answerable{Questions: []uint64{}}}
	r := eventlog.Record{Entries: []eventlog.Entry{{Event: e}, {Event: control.SendFailed{Error: []byte{}}}}}
	got, err := eventlog.Decode(eventlog.Encode(&r))
	if err != nil {
		t.Fatal(err)
	}
	want := []eventlog.Entry{{Event: control.SendAccepted{Answers: &control.Answerable{}}}, {Event: control.SendFailed{}}}
	if diff := cmp.Diff(want, got.Entries); diff != "" {
		t.Error(diff)
	}
}

func TestTextThatIsNotUTF8IsMadeSo(t *testing.T) {
	t.Parallel()
	r := eventlog.Record{Entries: []eventlog.Entry{{Event: control.SideRefused{Error: "cut \xe2\x82"}}}}
	got, err := eventlog.Decode(eventlog.Encode(&r))
	if err != nil {
		t.Fatal(err)
	}
	if want := (control.SideRefused{Error: "cut \uFFFD"}); got.Entries[0].Event != want {
		t.Errorf("got %+v", got.Entries[0].Event)
	}
}

func TestAppendReusesTheBufferAndMatchesEncode(t *testing.T) {
	t.Parallel()
	r, raw := eventlogtest.NewHistory(rand.New(rand.NewPCG(4, 4)), 0).Next()
	buf := make([]byte, 3, 4096)
	got := eventlog.Append(buf, r)
	if !bytes.Equal(got[3:], raw) || &got[0] != &buf[0] {
		t.Error("Append differs from Encode or left its buffer")
	}
}

func TestDamageIsRecognised(t *testing.T) {
	t.Parallel()
	h := eventlogtest.NewHistory(rand.New(rand.NewPCG(5, 5)), 0)
	h.Next()
	_, raw := h.Next()
	for i := range raw {
		for bit := range 8 {
			bad := bytes.Clone(raw)
			bad[i] ^= 1 << bit
			if _, err := eventlog.Decode(bad); !errors.Is(err, eventlog.ErrDamaged) {
				t.Fatalf("bit %d of byte %d flipped: %v", bit, i, err)
			}
		}
		if _, err := eventlog.Decode(raw[:i]); !errors.Is(err, eventlog.ErrDamaged) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := eventlog.Decode(append(bytes.Clone(raw), 0)); !errors.Is(err, eventlog.ErrDamaged) {
		t.Fatalf("a trailing byte: %v", err)
	}
}

// frame signs a hand-made body as a record of the given version.
func frame(version byte, body []byte) []byte {
	data := append([]byte{version}, body...)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func marshal(t *testing.T, m *logv1.GroupRecord) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestSignedNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	routed := func(m *logv1.Routed) *logv1.GroupRecord {
		return &logv1.GroupRecord{Entries: []*logv1.Entry{{Event: &logv1.Entry_Routed{Routed: m}}}}
	}
	// An entry with an event of a number that no build knows yet.
	unknown := []byte{13<<3 | 2, 4, 0xf2, 0x07, 1, 0}
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"version 0", frame(0, nil), eventlog.ErrDamaged},
		{"not protobuf", frame(1, []byte{0xff}), eventlog.ErrDamaged},
		{"a short id", frame(1, marshal(t, &logv1.GroupRecord{Group: []byte{1}})), eventlog.ErrDamaged},
		{"a short hash", frame(1, marshal(t, &logv1.GroupRecord{Prev: []byte{1}})), eventlog.ErrDamaged},
		{"a kind over 255", frame(1, marshal(t, routed(&logv1.Routed{Kind: 256}))), eventlog.ErrDamaged},
		{"an entry without event", frame(1, marshal(t, &logv1.GroupRecord{Entries: []*logv1.Entry{{}}})), eventlog.ErrDamaged},
		{"too many events", frame(1, bytes.Repeat([]byte{13<<3 | 2, 0}, eventlog.MaxEvents+1)), eventlog.ErrDamaged},
		{"an unknown event of this version", frame(1, unknown), eventlog.ErrDamaged},
		{"an unknown event of a newer version", frame(2, unknown), eventlog.ErrNewerVersion},
		{"a newer reader needed", frame(2, marshal(t, &logv1.GroupRecord{MinReader: 2})), eventlog.ErrNewerVersion},
		{"a newer version that we may read", frame(2, marshal(t, &logv1.GroupRecord{MinReader: 1})), nil},
	}
	for _, test := range tests {
		if _, err := eventlog.Decode(test.data); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	h := eventlogtest.NewHistory(rand.New(rand.NewPCG(6, 6)), 9)
	for range 8 {
		_, raw := h.Next()
		f.Add(raw, false)
		f.Add(raw[1:len(raw)-eventlog.HashSize], true)
	}
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign {
			data = frame(eventlog.Version, data)
		}
		r, err := eventlog.Decode(data)
		if err != nil {
			if !errors.Is(err, eventlog.ErrDamaged) && !errors.Is(err, eventlog.ErrNewerVersion) {
				t.Fatalf("an error of neither class: %v", err)
			}
			return
		}
		if len(r.Entries) > eventlog.MaxEvents {
			t.Fatalf("%d entries", len(r.Entries))
		}
		compareView(t, data, &r)
		again, err := eventlog.Decode(eventlog.Encode(&r))
		if err != nil {
			t.Fatal(err)
		}
		again.Hash, r.Hash = [32]byte{}, [32]byte{}
		if diff := cmp.Diff(r, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
