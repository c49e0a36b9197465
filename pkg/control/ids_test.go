package control

import (
	"strconv"
	"testing"
)

func FuzzParseID(f *testing.F) {
	for _, id := range []string{"", "0", "01", "9001234567890123", "18446744073709551615", "18446744073709551616", "+1", "1e3", "１"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, ok := ParseID(text)
		if !ok {
			if id != 0 && id != 1<<64-1 {
				t.Fatalf("%q is refused as %d", text, id)
			}
			return
		}
		if id == 0 || strconv.FormatUint(id, 10) != text {
			t.Fatalf("%q reads as %d", text, id)
		}
	})
}

func TestParseID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{"1": 1, "17841400000000001": 17841400000000001, "18446744073709551615": 1<<64 - 1} {
		if got, ok := ParseID(text); !ok || got != want {
			t.Errorf("%s reads as %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "0", "007", "-1", "+1", " 1", "1.0", "12a", "18446744073709551616"} {
		if _, ok := ParseID(text); ok {
			t.Errorf("%q is an id", text)
		}
	}
}

func TestKeysAreOrderedByAssetThenPerson(t *testing.T) {
	t.Parallel()
	ordered := []ThreadKey{{1, 0}, {1, 9}, {2, 0}, {2, 1}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Less(b) != (i < j) {
				t.Errorf("%v before %v: %t", a, b, a.Less(b))
			}
		}
	}
}

func TestPayloadHash(t *testing.T) {
	t.Parallel()
	if PayloadHash("") != 0 {
		t.Error("no payload has a hash")
	}
	if got := PayloadHash("CARE_HELP"); got != PayloadHash("CARE_HELP") || got == PayloadHash("care_help") {
		t.Errorf("hash %x", got)
	}
}

func TestFingerprintTellsCallsApart(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	for _, call := range []struct {
		name     string
		verb     Verb
		by, to   AppID
		metadata string
	}{
		{"pass", VerbPass, 1, 2, "m"},
		{"verb", VerbTake, 1, 2, "m"},
		{"caller", VerbPass, 2, 2, "m"},
		{"target", VerbPass, 1, 3, "m"},
		{"metadata", VerbPass, 1, 2, "n"},
		{"swapped", VerbPass, 2, 1, "m"},
		{"none", VerbPass, 1, 2, ""},
		{"no target", VerbPass, 1, 0, ""},
	} {
		got := Fingerprint(call.verb, call.by, call.to, call.metadata)
		if other, taken := seen[got]; taken || got == 0 {
			t.Errorf("%s has the fingerprint %x of %s", call.name, got, other)
		}
		seen[got] = call.name
	}
}

func TestNamesReadBack(t *testing.T) {
	t.Parallel()
	for k := range kindEnd {
		if got, ok := ParseKind(k.String()); !ok || got != k {
			t.Errorf("%s reads as %s, %t", k, got, ok)
		}
	}
	if _, ok := ParseKind("nothing"); ok || Kind(200).String() != "other" {
		t.Error("unknown kinds have a name")
	}
	names := map[string]bool{}
	for r := range reasonEnd {
		if names[r.String()] {
			t.Errorf("two reasons are called %q", r)
		}
		names[r.String()] = true
	}
	for _, name := range []string{
		Reason(200).String(), Verb(200).String(), Why(200).String(), Next(200).String(), AppID(0).String(),
	} {
		if name != "" {
			t.Errorf("an unknown value is called %q", name)
		}
	}
	if ObjectPage.String() != "page" || ObjectInstagram.String() != "instagram" ||
		ChannelMessaging.String() != "messaging" || ChannelStandby.String() != "standby" {
		t.Error("names on the wire")
	}
}

func TestSecondsAreRoundedUp(t *testing.T) {
	t.Parallel()
	for at, want := range map[Millis]int64{0: 0, 1: 1, 999: 1, 1000: 1, 1001: 2, 1790086400000: 1790086400} {
		if got := at.Seconds(); got != want {
			t.Errorf("%d ms are %d s", at, got)
		}
	}
}
