package control

import "testing"

func benchPage() *Page {
	return &Page{Lead: 1, Apps: map[AppID]App{1: {}, 2: {}, 3: {}}, OwnerSendExtends: true, BatonApp: 99, Expiry: Day}
}

func benchDecide(b *testing.B, s State, c Command) {
	b.Helper()
	env := Env{Now: 1790000000000, Position: 1, Page: benchPage()}
	b.ReportAllocs()
	for b.Loop() {
		if events, refusal := Decide(s, env, c); len(events) == 0 && !refusal.Refused() {
			b.Fatal("nothing was decided")
		}
	}
}

func benchOwned() State { return State{Owner: 2, ExpiresAt: 1790000000000 + Hour} }

func BenchmarkDecideMessage(b *testing.B) {
	benchDecide(b, benchOwned(), Webhook{Kind: KindMessage, At: 1790000000000})
}

func BenchmarkDecideFirstMessage(b *testing.B) {
	benchDecide(b, State{}, Webhook{Kind: KindMessage, At: 1790000000000})
}

func BenchmarkDecidePass(b *testing.B)    { benchDecide(b, benchOwned(), Pass{By: 2, Target: 3}) }
func BenchmarkDecideSend(b *testing.B)    { benchDecide(b, benchOwned(), Send{By: 2}) }
func BenchmarkDecideRefusal(b *testing.B) { benchDecide(b, benchOwned(), Send{By: 3}) }

func benchEvolve(b *testing.B, s State, e Event) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		Evolve(s, e)
	}
}

func BenchmarkEvolveRouted(b *testing.B) {
	benchEvolve(b, benchOwned(), Routed{UserAt: 1, ExpiresAt: 2})
}

func BenchmarkEvolvePassed(b *testing.B) {
	benchEvolve(b, benchOwned(), Passed{Change{From: 2, To: 3, ExpiresAt: 5}})
}

func BenchmarkEvolveSendAccepted(b *testing.B) {
	benchEvolve(b, benchOwned(), SendAccepted{ID: 1, App: 2})
}

func BenchmarkAppendCanonical(b *testing.B) {
	s := benchOwned()
	buf := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendCanonical(buf[:0])
	}
}

func BenchmarkParseState(b *testing.B) {
	encoded := benchOwned().AppendCanonical(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseState(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
