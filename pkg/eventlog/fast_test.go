package eventlog

import (
	"bytes"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/baton-router/baton/pkg/control"
	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// someRouted is any Routed: some fields set, some not, some at their edges.
func someRouted(c *rand.Rand) control.Routed {
	n := func() uint64 { return c.Uint64() >> c.IntN(64) * uint64(c.IntN(2)) }
	var dedupe [16]byte
	if c.IntN(2) > 0 {
		dedupe[c.IntN(16)] = 1
	}
	return control.Routed{
		Input: control.Ref{Sequence: n(), Index: uint32(n())}, Kind: control.Kind(n()), Audience: control.Audience(n()),
		Owner: control.AppID(n()), Creator: control.AppID(n()), Send: control.Position(n()), Sender: control.AppID(n()),
		Metadata: []string{"", "äöü", string(make([]byte, 200))}[c.IntN(3)], At: control.Millis(n()), UserAt: control.Millis(n()),
		ExpiresAt: -control.Millis(n()), WindowDays: uint8(n()), ClearDone: c.IntN(2) > 0, Dedupe: dedupe,
		WasHeld: c.IntN(2) > 0, SideReported: c.IntN(2) > 0, WantInbox: c.IntN(2) > 0,
	}
}

// someMove is any change of owner.
func someMove(c *rand.Rand) control.Event {
	n := func() uint64 { return c.Uint64() >> c.IntN(64) * uint64(c.IntN(2)) }
	change := control.Change{
		From: control.AppID(n()), To: control.AppID(n()), At: control.Millis(n()), ExpiresAt: -control.Millis(n()),
		Why: control.Why(n()), Metadata: []string{"", "äöü", string(make([]byte, 200))}[c.IntN(3)], Print: n(), WindowDays: uint8(n()),
		MirrorSide: c.IntN(2) > 0, WantInbox: c.IntN(2) > 0, PlatformSide: c.IntN(2) > 0, ID: control.Position(n()), Done: c.IntN(2) > 0,
	}
	if c.IntN(2) > 0 {
		change.By = control.Actor{Kind: control.ActorKind(n()), App: control.AppID(n()), Name: []string{"", "ö"}[c.IntN(2)]}
	}
	if c.IntN(2) > 0 {
		change.Call = control.Call{KeyUntil: control.Millis(n()), Digest: n()}
		change.Call.ID[c.IntN(16)], change.Call.Key[c.IntN(16)] = byte(c.IntN(2)), byte(c.IntN(2))
	}
	return changed(change, protowire.Number(10+c.IntN(8)))
}

// someHeader is any record without entries.
func someHeader(c *rand.Rand) *Record {
	n := func() uint64 { return c.Uint64() >> c.IntN(64) * uint64(c.IntN(2)) }
	r := &Record{
		Partition: uint32(n()), Epoch: n(), Claim: c.IntN(2) > 0, Holder: []string{"", "n", "\xff"}[c.IntN(3)],
		First: control.Position(n()), DecidedAt: -control.Millis(n()), RosterVersion: n(), Input: n(),
	}
	if c.IntN(2) > 0 {
		r.Group[3], r.BatonID[15], r.Prev[31] = 1, 2, 3
	}
	return r
}

// someEvent is an event that is written by hand.
func someEvent(c *rand.Rand) control.Event {
	if c.IntN(2) > 0 {
		return someMove(c)
	}
	return someRouted(c)
}

// headerToWire is a record without its entries, for the generated code.
func headerToWire(r *Record) *logv1.GroupRecord {
	m := &logv1.GroupRecord{
		MinReader: MinReader, Partition: r.Partition, Epoch: r.Epoch, Group: idToWire(r.Group), Claim: r.Claim,
		Holder: text(r.Holder), First: uint64(r.First), DecidedAtMs: int64(r.DecidedAt), RosterVersion: r.RosterVersion,
		Input: r.Input, BatonId: idToWire(r.BatonID),
	}
	if r.Prev != [HashSize]byte{} {
		m.Prev = r.Prev[:]
	}
	return m
}

// generated encodes a record by the generated code alone.
func generated(t *testing.T, r *Record) []byte {
	t.Helper()
	m := headerToWire(r)
	for i := range r.Entries {
		e := &r.Entries[i]
		wire := &logv1.Entry{
			Asset: e.Thread.Asset, Person: e.Thread.Person, Cause: idToWire(e.Cause), Trace: idToWire(e.Trace),
		}
		eventToWire(wire, e.Event)
		m.Entries = append(m.Entries, wire)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	data := append([]byte{Version}, body...)
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func TestHandWrittenEncodingEqualsTheGenerated(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(8, 8))
	for range 2000 {
		r := someHeader(c)
		for range c.IntN(4) {
			e := Entry{Thread: control.ThreadKey{Asset: c.Uint64() >> c.IntN(64)}, Event: someEvent(c)}
			if c.IntN(2) > 0 {
				e.Cause[2], e.Trace[7], e.Thread.Person = 1, 2, c.Uint64()
			}
			if c.IntN(4) == 0 {
				e.Event = control.Refused{App: 5, Count: 3}
			}
			r.Entries = append(r.Entries, e)
		}
		if got, want := Encode(r), generated(t, r); !bytes.Equal(got, want) {
			t.Fatalf("%+v\nby hand   %x\ngenerated %x", r, got, want)
		}
	}
}

// FuzzHandWrittenDecoding: what is read by hand is read alike by the generated
// code.
func FuzzHandWrittenDecoding(f *testing.F) {
	c := rand.New(rand.NewPCG(9, 9))
	for range 100 {
		e := Entry{Thread: control.ThreadKey{Asset: 1, Person: 2}, Event: someEvent(c)}
		body, err := appendEntry(nil, &e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body[2:])
		f.Add(body[3:])
	}
	f.Add([]byte{24<<1&0x7f | 0x80, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var byHand Entry
		if !readEntry(&byHand, data) {
			return
		}
		var m logv1.Entry
		if err := proto.Unmarshal(data, &m); err != nil {
			t.Fatalf("read by hand, but: %v", err)
		}
		e, err := entryFromWire(&m, Version)
		if err != nil {
			t.Fatalf("read by hand, but: %v", err)
		}
		if diff := cmp.Diff(e, byHand); diff != "" {
			t.Fatalf("-generated +by hand:\n%s", diff)
		}
	})
}

// FuzzHandWrittenHeader: a header that is read by hand is read alike by the
// generated code.
func FuzzHandWrittenHeader(f *testing.F) {
	c := rand.New(rand.NewPCG(11, 11))
	for range 50 {
		f.Add(appendHeader(nil, someHeader(c)))
	}
	f.Add([]byte{1 << 3, Version + 1})
	f.Add([]byte{5 << 3, 2})
	f.Add([]byte{4<<3 | 2, 0})
	f.Add([]byte{6<<3 | 2, 1, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var byHand Record
		if !readHeader(&byHand, data) {
			return
		}
		var m logv1.GroupRecord
		if err := proto.Unmarshal(data, &m); err != nil {
			t.Fatalf("read by hand, but: %v", err)
		}
		r, err := headerFromWire(&m)
		if err != nil {
			t.Fatalf("read by hand, but: %v", err)
		}
		if diff := cmp.Diff(r, byHand); diff != "" {
			t.Fatalf("-generated +by hand:\n%s", diff)
		}
	})
}

func TestHeaderIsReadByHand(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(12, 12))
	for range 500 {
		want := someHeader(c)
		want.Holder = text(want.Holder)
		var got Record
		if !readHeader(&got, appendHeader(nil, want)) {
			t.Fatalf("%+v is not read by hand", want)
		}
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEventsAreReadByHand(t *testing.T) {
	t.Parallel()
	c := rand.New(rand.NewPCG(10, 10))
	for range 500 {
		want := Entry{Thread: control.ThreadKey{Asset: 1, Person: 2}, Trace: [16]byte{1}, Event: someEvent(c)}
		data, err := appendEntry(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		_, n := consumeLength(data[1:])
		var got Entry
		if !readEntry(&got, data[1+n:]) {
			t.Fatalf("%+v is not read by hand", want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func consumeLength(b []byte) (length, size int) {
	for i, c := range b {
		length |= int(c&0x7f) << (7 * i)
		if c < 0x80 {
			return length, i + 1
		}
	}
	return 0, 0
}
