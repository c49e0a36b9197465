package assignment

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever happens to the nodes and their beats, once it is over every partition
// comes to the one node that all want, and stays there.
func TestEveryPartitionComesToItsNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := newIsland(t)
		names := []string{"a", "b", "c", "d"}
		i.start("a")
		for range rapid.IntRange(1, 8).Draw(t, "events") {
			name := rapid.SampledFrom(names).Draw(t, "node")
			n := i.nodes[name]
			switch event := rapid.IntRange(0, 4).Draw(t, "event"); {
			case n == nil:
				i.start(name)
			case event == 0:
				delete(i.nodes, name)
			case event == 1:
				n.asleep = !n.asleep
			case event == 2:
				n.cut = !n.cut
			case event == 3:
				n.mine.Unable = rapid.SliceOfDistinct(rapid.IntRange(0, islandPartitions-1), rapid.ID).Draw(t, "unable")
			}
			i.pass(time.Duration(rapid.IntRange(1, 250).Draw(t, "ticks")) * 10 * time.Millisecond)
		}
		if len(i.nodes) == 0 {
			i.start("a")
		}
		for _, n := range i.nodes {
			n.asleep, n.cut = false, false
		}
		i.pass(20 * time.Second)
		if err := i.calm(); err != nil {
			t.Fatal(err)
		}
		before := i.claims
		i.pass(5 * time.Second)
		if err := i.calm(); err != nil || i.claims != before {
			t.Fatalf("it does not rest: %d more claims, %v", i.claims-before, err)
		}
	})
}

// scenario runs a test on an island of three settled nodes.
func scenario(t *testing.T, test func(*island)) {
	t.Helper()
	i := newIsland(t)
	for _, name := range []string{"a", "b", "c"} {
		i.start(name)
	}
	i.pass(3 * time.Second)
	if err := i.calm(); err != nil {
		t.Fatal(err)
	}
	test(i)
}

// Nodes that start together claim each partition once: no herd, no moves.
func TestNodesThatStartTogetherClaimOnce(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		if i.claims != islandPartitions || i.moves != 0 {
			i.t.Fatalf("%d claims and %d moves of %d partitions", i.claims, i.moves, islandPartitions)
		}
	})
}

// What a killed node held is held again within the time of suspicion and two
// beats, and nothing else moves.
func TestKilledNodeIsReplacedInTime(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		had := len(i.nodes["b"].mine.Held)
		delete(i.nodes, "b")
		before := i.claims
		i.pass(2200 * time.Millisecond)
		if err := i.calm(); err != nil {
			i.t.Fatal(err)
		}
		if i.claims-before != had {
			i.t.Fatalf("%d claims for the %d partitions of the killed node", i.claims-before, had)
		}
	})
}

// Claims under way bound those that may begin; one that takes too long does not
// count, nor does one that is through.
func TestClaimsAreCapped(t *testing.T) {
	t.Parallel()
	const partitions = 3 * claimsAtOnce
	c := Default("ownership", "a", partitions)
	now := time.UnixMilli(0)
	tb := newTable(c, 1, now)
	now = now.Add(c.Settle)
	mine := Beat{Node: "a", Run: 1, Held: map[int]uint64{}, Wants: nothing}
	step := func(after time.Duration, want int, more bool) {
		t.Helper()
		now = now.Add(after)
		mine.Number++
		tb.hear(mine, now)
		d := tb.decide(now, mine, false)
		for _, p := range d.hold {
			mine.Held[p] = 0
		}
		if len(d.hold) != want || d.more != more {
			t.Errorf("it begins %d claims, more %v; want %d, %v", len(d.hold), d.more, want, more)
		}
	}
	step(0, claimsAtOnce, true)
	step(0, 0, true)
	for p := range claimsAtOnce / 2 {
		mine.Held[p] = 1
	}
	step(0, claimsAtOnce/2, true)
	step(claimFor+time.Millisecond, claimsAtOnce, true)
	step(claimFor+time.Millisecond, claimsAtOnce/2, false)
}

// A node that comes gets its share by asking: no partition is ever claimed from
// a holder that lives.
func TestNewcomerAsks(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		before := i.claims
		i.start("d")
		i.pass(20 * time.Second)
		if err := i.calm(); err != nil {
			i.t.Fatal(err)
		}
		if got := len(i.nodes["d"].mine.Held); i.moves != got || i.claims-before != got {
			i.t.Fatalf("%d partitions came with %d moves and %d claims", got, i.moves, i.claims-before)
		}
	})
}

// A node that slept and wakes, or was cut off, does not believe the others dead
// because it has not heard them.
func TestSleeperJudgesNobody(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		n := i.nodes["a"]
		n.asleep = true
		i.pass(10 * time.Second)
		n.asleep = false
		before := len(n.claims)
		i.act(n) // the first thing it does, before its mail
		if len(n.claims) != before {
			i.t.Fatalf("it claims %v on waking", slices.Sorted(maps.Keys(n.claims)))
		}
	})
}

// A node that comes is given nothing before it may hold it, and no second
// partition before it holds the first: none is without a holder for longer than
// the news and the claim take.
func TestNewcomerIsGivenWhatItMayHold(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		i.start("d")
		idle := map[int]time.Duration{}
		for range 200 {
			i.pass(20 * time.Millisecond)
			var without []int
			for p := range islandPartitions {
				if len(i.holders(p)) > 0 {
					delete(idle, p)
					continue
				}
				without = append(without, p)
				if idle[p] += 20 * time.Millisecond; idle[p] > 120*time.Millisecond {
					i.t.Fatalf("partition %d has no holder for %s", p, idle[p])
				}
			}
			if len(without) > 1 {
				i.t.Fatalf("partitions %v have no holder at once", without)
			}
		}
		if len(i.nodes["d"].mine.Held) == 0 {
			i.t.Fatal("it has got nothing")
		}
	})
}

// A node that leaves gives everything away, and is asked for nothing twice.
func TestLeaverIsDrained(t *testing.T) {
	t.Parallel()
	scenario(t, func(i *island) {
		n := i.nodes["c"]
		had := len(n.mine.Held)
		n.mine.Leaving = true
		before, moves := i.claims, i.moves
		i.pass(10 * time.Second)
		if len(n.mine.Held) != 0 || i.claims-before != had || i.moves-moves != had {
			i.t.Fatalf("it still holds %v of %d; %d claims, %d moves", n.mine.Held, had, i.claims-before, i.moves-moves)
		}
	})
}

// Two processes of one name: neither begins anything.
func TestTwinsStandStill(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000_000)
	tb := newTable(Default("ownership", "a", 4), 1, now)
	now = now.Add(time.Second)
	tb.hear(Beat{Node: "a", Run: 1, Number: 1, Wants: nothing}, now)
	tb.hear(Beat{Node: "a", Run: 2, Number: 1, Wants: nothing}, now)
	mine := Beat{Node: "a", Run: 1, Held: map[int]uint64{}}
	if d := tb.decide(now, mine, false); len(d.hold) != 0 || !tb.hasTwin(now) {
		t.Errorf("it holds %v beside its twin", d.hold)
	}
	now = now.Add(1400 * time.Millisecond)
	tb.hear(Beat{Node: "a", Run: 1, Number: 2, Wants: nothing}, now)
	now = now.Add(200 * time.Millisecond)
	if d := tb.decide(now, mine, false); len(d.hold) != 4 {
		t.Errorf("it holds %v although its twin is gone", d.hold)
	}
}

func FuzzParseBeat(f *testing.F) {
	f.Add([]byte(`{"node":"a","run":7,"number":1,"held":{"0":3,"5":0},"unable":[1],"wants":2,"leaving":true}`))
	f.Add([]byte(`{"node":"","number":1}`))
	f.Add([]byte(`{"node":"a","number":1,"held":{"99":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := parseBeat(data, 8)
		if err != nil {
			return
		}
		again, err := parseBeat(b.encode(), 8)
		if err != nil || again.Node != b.Node || !maps.Equal(again.Held, b.Held) || again.Wants != b.Wants {
			t.Errorf("%q reads as %+v and again as %+v, %v", data, b, again, err)
		}
		tb := newTable(Default("ownership", "me", 8), 1, time.UnixMilli(0))
		now := time.UnixMilli(2000)
		tb.hear(b, now)
		tb.hear(Beat{Node: "me", Run: 1, Number: 1}, now)
		tb.decide(now, Beat{Node: "me", Run: 1, Held: map[int]uint64{}}, false)
	})
}
