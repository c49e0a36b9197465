package control

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fullState has every field set.
func fullState() State {
	return State{
		Owner: 7, ExpiresAt: 100, Since: 90, LastUserAt: 80, LastChange: 1 << 63, LastChangeAt: 85, Revision: 1 << 31,
		WindowDays: 30, Done: true, PlatformInbox: true,
		Rare: &Rare{
			Requests:   []Request{{App: 8, Since: 1, Metadata: "please"}, {App: 9}},
			Held:       []Survey{{ID: 3, App: 8, ExpiresAt: 500, Message: []byte(`{"a":1}`), Questions: []uint64{1, 2}}},
			Answerable: []DeliveredSurvey{{ID: 6, Answerable: Answerable{App: 9, Questions: []uint64{5}}}},
			Effects: []Effect{
				{
					Kind: EffectSend, ID: 11, App: 7, Since: 70, Key: [16]byte{1}, KeyUntil: 99, Digest: 12,
					Control: SendControl{Type: ControlPass, Target: 8}, Owner: 7, Metadata: "m",
				},
				{Kind: EffectSurvey, ID: 12, App: 8, Message: []byte("{}"), Survey: 3},
				{Kind: EffectSide, ID: 13, App: PageInbox, WantInbox: true, Attempt: 4, NextAt: 77},
			},
			UserMenu: 8, UserMenuItems: []uint64{3, 4},
			HeldEcho: []HeldEcho{{Input: Ref{Sequence: 4, Index: 2}, At: 60, Since: 61, Mid: "m_1", Dedupe: [16]byte{9}}},
		},
	}
}

func TestCanonicalStateReadsBack(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]State{
		"idle": {}, "owned": {Owner: PageInbox, ExpiresAt: 1, Since: -1}, "full": fullState(),
		"empty rare is none": {Rare: &Rare{}},
	} {
		b := s.AppendCanonical(nil)
		got, err := ParseState(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.Rare != nil && s.Rare.empty() {
			s.Rare = nil
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParseStateRefusesWhatIsNotCanonical(t *testing.T) {
	t.Parallel()
	full := fullState().AppendCanonical(nil)
	for n := range full {
		if _, err := ParseState(full[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were accepted", n, len(full))
		}
	}
	idle := State{}.AppendCanonical(nil)
	for name, b := range map[string][]byte{
		"left over":    append(bytes.Clone(idle), 0),
		"version":      append([]byte{canonicalVersion + 1}, idle[1:]...),
		"flag":         append([]byte{canonicalVersion, flagEnd}, idle[2:]...),
		"not minimal":  append([]byte{canonicalVersion, 0, 0x80, 0}, idle[3:]...),
		"rare of none": append([]byte{canonicalVersion, flagRare}, append(bytes.Clone(idle[2:]), 0, 0, 0, 0, 0, 0, 0)...),
	} {
		if _, err := ParseState(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestUvarint: it reads what binary.Uvarint reads, numbers of all lengths, cut
// short, with something behind them or nothing, and not minimal ones.
func TestUvarint(t *testing.T) {
	t.Parallel()
	for shift := range 65 {
		for _, n := range []uint64{1<<shift - 1, 1 << shift, 0xa5a5a5a5a5a5a5a5 >> (64 - shift)} {
			written := binary.AppendUvarint(nil, n)
			long := bytes.Clone(written)
			long[len(long)-1] |= 0x80
			for _, b := range [][]byte{written, append(long, 0)} {
				for behind := range 10 {
					b := append(bytes.Clone(b), bytes.Repeat([]byte{0xff}, behind)...)
					for cut := range len(b) + 1 {
						want, wantSize := binary.Uvarint(b[:cut])
						if got, size := uvarint(b[:cut]); got != want || size != wantSize {
							t.Fatalf("%x: %d in %d bytes, want %d in %d", b[:cut], got, size, want, wantSize)
						}
					}
				}
			}
		}
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(State{}.AppendCanonical(nil))
	f.Add(fullState().AppendCanonical(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b)
		if err != nil {
			return
		}
		if again := s.AppendCanonical(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x reads as %+v, which is written %x", b, s, again)
		}
	})
}
