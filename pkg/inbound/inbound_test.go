package inbound_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/baton-router/baton/pkg/control"
	inboundv1 "github.com/baton-router/baton/pkg/gen/baton/inbound/v1"
	"github.com/baton-router/baton/pkg/inbound"
	"github.com/baton-router/baton/pkg/webhook"
)

// generated is an event as the generated code writes it.
func generated(e *webhook.Event, trace []byte) *inboundv1.Event {
	return &inboundv1.Event{
		Asset: e.Asset, Person: e.Person, Kind: uint32(e.Kind), Object: uint32(e.Object), TimestampMs: int64(e.At),
		EntryTimeMs: int64(e.EntryTime), Dedupe: e.Dedupe[:], Raw: e.Raw, Mid: e.Mid, PayloadHash: e.PayloadHash, Ref: e.Ref, Ad: e.Ad,
		FromAd: e.FromAd, ReceivingApp: uint64(e.ReceivingApp), HasWindow: e.HasWindow, ReceivingDays: int32(e.ReceivingDays),
		EchoApp: uint64(e.EchoApp), Metadata: e.Metadata, Questions: e.Questions, PreviousOwner: uint64(e.PreviousOwner),
		NewOwner: uint64(e.NewOwner), Trace: trace,
	}
}

// read is a message as the generated code reads it.
func read(m *inboundv1.Event) inbound.Event {
	e := inbound.Event{Event: webhook.Event{
		Asset: m.GetAsset(), Person: m.GetPerson(), Kind: control.Kind(m.GetKind()), Object: control.Object(m.GetObject()),
		At: control.Millis(m.GetTimestampMs()), EntryTime: control.Millis(m.GetEntryTimeMs()), Raw: m.GetRaw(), Mid: m.GetMid(),
		PayloadHash: m.GetPayloadHash(), Ref: m.GetRef(), Ad: m.GetAd(), FromAd: m.GetFromAd(),
		ReceivingApp: control.AppID(m.GetReceivingApp()), HasWindow: m.GetHasWindow(), ReceivingDays: int(m.GetReceivingDays()),
		EchoApp: control.AppID(m.GetEchoApp()), Metadata: m.GetMetadata(), Questions: m.GetQuestions(),
		PreviousOwner: control.AppID(m.GetPreviousOwner()), NewOwner: control.AppID(m.GetNewOwner()),
	}}
	copy(e.Dedupe[:], m.GetDedupe())
	copy(e.Trace[:], m.GetTrace())
	return e
}

func anyEvent(t *rapid.T) (e webhook.Event, trace []byte) {
	number, text := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()), rapid.OneOf(rapid.Just(""), rapid.StringN(0, 40, 200))
	flag, app := rapid.Bool(), rapid.Map(number, func(n uint64) control.AppID { return control.AppID(n) })
	time := rapid.Map(number, func(n uint64) control.Millis { return control.Millis(n) })
	e = webhook.Event{
		Asset: number.Draw(t, "asset"), Person: number.Draw(t, "person"), Kind: control.Kind(rapid.Byte().Draw(t, "kind")),
		Object: control.Object(rapid.Byte().Draw(t, "object")), At: time.Draw(t, "at"), EntryTime: time.Draw(t, "entry"),
		Raw: bytes.Repeat([]byte("r"), rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(16_000, 16_600)).Draw(t, "raw")),
		Mid: text.Draw(t, "mid"), PayloadHash: number.Draw(t, "hash"), Ref: text.Draw(t, "ref"), Ad: text.Draw(t, "ad"),
		FromAd: flag.Draw(t, "from ad"), ReceivingApp: app.Draw(t, "receiving"), HasWindow: flag.Draw(t, "window"),
		ReceivingDays: rapid.IntRange(-1, 30).Draw(t, "days"), EchoApp: app.Draw(t, "echo"), Metadata: text.Draw(t, "metadata"),
		Questions: rapid.SliceOfN(rapid.Uint64(), 0, 3).Draw(t, "questions"), PreviousOwner: app.Draw(t, "previous"), NewOwner: app.Draw(t, "new"),
	}
	copy(e.Dedupe[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "dedupe"))
	return e, rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 16, 16)).Draw(t, "trace")
}

// equal takes nothing and an empty list for equal; bytes one by one would take too long.
var equal = cmp.Options{cmp.Comparer(bytes.Equal), cmp.Comparer(slices.Equal[[]uint64])}

// TestAppendIsTheGeneratedCode: byte for byte, and Parse gives back what went in.
func TestAppendIsTheGeneratedCode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		batch := &inboundv1.Batch{}
		var data []byte
		var want []inbound.Event
		for range rapid.IntRange(0, 4).Draw(t, "events") {
			e, trace := anyEvent(t)
			data = inbound.Append(data, &e, trace)
			batch.Events = append(batch.Events, generated(&e, trace))
			in := inbound.Event{Event: e}
			copy(in.Trace[:], trace)
			want = append(want, in)
		}
		expected, err := proto.MarshalOptions{Deterministic: true}.Marshal(batch)
		if err != nil || !bytes.Equal(data, expected) {
			t.Fatalf("%v\n%x\n%x", err, data, expected)
		}
		got, err := inbound.Parse(nil, inbound.AppendReceived(data, 1_790_000_000_000))
		if diff := cmp.Diff(want, got, equal); diff != "" || err != nil {
			t.Fatal(diff, err)
		}
	})
}

func TestAppendOfALargeEvent(t *testing.T) {
	t.Parallel()
	e := webhook.Event{Asset: 1, Raw: make([]byte, 3<<20)}
	data := inbound.Append([]byte{}, &e, nil)
	expected, err := proto.Marshal(&inboundv1.Batch{Events: []*inboundv1.Event{generated(&e, nil)}})
	if err != nil || !bytes.Equal(data, expected) {
		t.Error(err, len(data), len(expected))
	}
}

func TestAppendMakesTextUTF8(t *testing.T) {
	t.Parallel()
	events, err := inbound.Parse(nil, inbound.Append(nil, &webhook.Event{Mid: "a\xffb"}, nil))
	if err != nil || len(events) != 1 || events[0].Mid != "a\uFFFDb" {
		t.Error(events, err)
	}
}

// TestParseKeepsWhatWasThere: what is damaged adds nothing.
func TestParseKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	before := []inbound.Event{{Event: webhook.Event{Asset: 1}}}
	data := append(inbound.Append(nil, &webhook.Event{Asset: 2}, nil), 0xff)
	events, err := inbound.Parse(before, data)
	if !errors.Is(err, inbound.ErrDamaged) || len(events) != 1 || events[0].Asset != 1 {
		t.Error(events, err)
	}
}

// TestNoBitOfASealedBatchMayChange: but in the tag of the checksum, which tells
// nothing of the events.
func TestNoBitOfASealedBatchMayChange(t *testing.T) {
	t.Parallel()
	e := webhook.Event{Asset: 1, Person: 2, Mid: "m_1", Raw: []byte(`{"message":{"text":"hello"}}`), Dedupe: [16]byte{3}}
	data := inbound.AppendReceived(inbound.Append(nil, &e, bytes.Repeat([]byte{1}, 16)), 1_790_000_000_000)
	want, err := inbound.Parse(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	sealed := inbound.Seal(data)
	if got, err := inbound.Parse(nil, sealed); err != nil || !cmp.Equal(want, got, equal) {
		t.Fatal(got, err)
	}
	for bit := range 8 * len(sealed) {
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		got, err := inbound.Parse(nil, flipped)
		if tag := bit/8 == len(data); !errors.Is(err, inbound.ErrDamaged) && (!tag || !cmp.Equal(want, got, equal)) {
			t.Errorf("bit %d: %v, %+v", bit, err, got)
		}
	}
}

// FuzzParse compares Parse with the generated code.
func FuzzParse(f *testing.F) {
	whole := webhook.Event{
		Asset: 1, Person: 2, Kind: 3, Object: 1, At: 5, EntryTime: 6, Dedupe: [16]byte{7}, Raw: []byte(`{}`), Mid: "m", PayloadHash: 10, Ref: "r",
		Ad: "a", FromAd: true, ReceivingApp: 14, HasWindow: true, ReceivingDays: -1, EchoApp: 17, Metadata: "x", Questions: []uint64{1, 2},
		PreviousOwner: 20, NewOwner: 21,
	}
	data := inbound.Append(nil, &whole, bytes.Repeat([]byte{1}, 16))
	f.Add(data)
	f.Add(inbound.AppendReceived(data, 99))
	f.Add(inbound.Seal(inbound.AppendReceived(bytes.Clone(data), 99)))
	f.Add(append(protowire.AppendTag(nil, 2, protowire.BytesType), 4, 0x99, 1, 5, 0)) // questions, not packed
	f.Add([]byte{2<<3 | 2, 3, 9<<3 | 2, 1, 0xff})                                     // a mid that is not UTF-8
	f.Add([]byte{2<<3 | 2, 4, 3 << 3, 1, 3 << 3, 2})                                  // a kind twice
	f.Fuzz(func(t *testing.T, data []byte) {
		var batch inboundv1.Batch
		fault := proto.Unmarshal(data, &batch)
		got, err := inbound.Parse(nil, data)
		if fault == nil && batch.GetSum() != 0 && errors.Is(err, inbound.ErrDamaged) {
			return
		}
		if (fault == nil) != (err == nil) || err != nil && !errors.Is(err, inbound.ErrDamaged) {
			t.Fatal(fault, err)
		}
		if err != nil {
			return
		}
		var want []inbound.Event
		for _, m := range batch.GetEvents() {
			want = append(want, read(m))
		}
		if diff := cmp.Diff(want, got, equal); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	e := webhook.Event{
		Asset: 100_200_300_400_500, Person: 4_000_000_000_000_001, At: 1_790_000_000_000, EntryTime: 1_790_000_000_001, Dedupe: [16]byte{1},
		Raw: bytes.Repeat([]byte("r"), 420), Mid: "m_AbCdEfGhIjKlMnOpQrStAbCdEfGhIjKlMnOpQrSt",
	}
	var data []byte
	for range 20 {
		data = inbound.Append(data, &e, bytes.Repeat([]byte{1}, 16))
	}
	b.Run("by hand", func(b *testing.B) {
		var events []inbound.Event
		b.ReportAllocs()
		for b.Loop() {
			events, _ = inbound.Parse(events[:0], data)
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var batch inboundv1.Batch
			if err := proto.Unmarshal(data, &batch); err != nil {
				b.Fatal(err)
			}
		}
	})
}
