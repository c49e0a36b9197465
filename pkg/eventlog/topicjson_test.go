package eventlog

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/baton-router/baton/pkg/gen/baton/control/v1"
)

// byProtojson is a change as protojson writes it, without its white space.
func byProtojson(c *controlv1.ControlChange) ([]byte, error) {
	loose, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(c)
	if err != nil {
		return nil, err
	}
	var data bytes.Buffer
	err = json.Compact(&data, loose)
	return data.Bytes(), err
}

// someText is anything: plain, with all that is escaped, at times not UTF-8.
func someText(r *rand.Rand) string {
	pieces := []string{"", "7000", "\"", "\\", "/", "<a>&", "äöü€😀", "\u2028\u2029", "\x00\x01\x1f", "\b\f\n\r\t\v", "\x7f", "\ufffd", "\ufeff"}
	s := ""
	for range r.IntN(4) {
		s += pieces[r.IntN(len(pieces))] + string(rune(r.IntN(0x300)))
	}
	if r.IntN(100) == 0 {
		s += "\xff\xc3"
	}
	return s
}

func someTime(r *rand.Rand) *timestamppb.Timestamp {
	seconds := []int64{0, 1_790_000_000, -1, 253402300799, 253402300800, -62135596800, -62135596801, r.Int64N(1 << 34)}
	nanos := []int32{0, 120e6, 123e6, 123_456e3, 123_456_789, 1, 999_999_999, r.Int32N(1e9)}
	switch r.IntN(4) {
	case 0:
		return nil
	case 1:
		return &timestamppb.Timestamp{Seconds: seconds[r.IntN(len(seconds))], Nanos: nanos[r.IntN(len(nanos))]}
	}
	return &timestamppb.Timestamp{Seconds: r.Int64N(1 << 37), Nanos: nanos[r.IntN(len(nanos))]}
}

// someChange sets fields by their descriptors, so that none is forgotten.
func someChange(r *rand.Rand) *controlv1.ControlChange {
	c := new(controlv1.ControlChange)
	m := c.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		switch f.Kind() { //nolint:exhaustive // messages follow
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(r.Uint32()>>r.IntN(33)))
		case protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(r.Uint64()>>r.IntN(65)))
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(someText(r)))
		}
	}
	c.OccurredAt, c.DecidedAt, c.ExpiresAt = someTime(r), someTime(r), someTime(r)
	if r.IntN(3) > 0 {
		c.Actor = &controlv1.Actor{Kind: someText(r), Id: someText(r)}
	}
	return c
}

func TestHandWrittenJSONEqualsProtojson(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 11))
	written, refused := 0, 0
	for range 5000 {
		c := someChange(r)
		want, wantErr := byProtojson(c)
		got, err := changeJSON(c)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%v\nby hand   %v\nprotojson %v", c, err, wantErr)
		}
		if err != nil {
			refused++
			continue
		}
		written++
		if !bytes.Equal(got, want) {
			t.Fatalf("by hand   %s\nprotojson %s", got, want)
		}
	}
	if written < 1000 || refused < 100 {
		t.Errorf("%d changes written, %d refused: the test does not see both", written, refused)
	}
}

// FuzzHandWrittenJSON: any text is written as protojson writes it, or refused
// by both.
func FuzzHandWrittenJSON(f *testing.F) {
	f.Add("say \"hi\"\\ \x00\x1f\u2028", int64(1_790_000_000), int32(120e6))
	f.Add("\xff", int64(-62135596801), int32(-1))
	f.Fuzz(func(t *testing.T, text string, seconds int64, nanos int32) {
		c := &controlv1.ControlChange{Metadata: text, Actor: &controlv1.Actor{Id: text}, OccurredAt: &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos}}
		want, wantErr := byProtojson(c)
		got, err := changeJSON(c)
		if (err != nil) != (wantErr != nil) || err == nil && !bytes.Equal(got, want) {
			t.Fatalf("by hand   %s, %v\nprotojson %s, %v", got, err, want, wantErr)
		}
	})
}
