package assignment

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// island is some nodes whose beats a test delays, loses and holds back, on a
// clock of its own. Claims are fenced as the log fences them: a claim takes the
// next epoch, whoever held before.
type island struct {
	t      judge
	now    time.Time
	nodes  map[string]*inhabitant
	epochs map[int]uint64
	mail   []letter
	runs   uint64
	moves  int // asked for and given
	claims int
}

// judge is a test, of one run or of many.
type judge interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// letter is a beat on its way.
type letter struct {
	at   time.Time
	to   string
	beat []byte
}

type inhabitant struct {
	table  *table
	mine   Beat
	claims map[int]time.Time // when a claim under way is through
	asleep bool              // stopped as by SIGSTOP: its mail waits
	cut    bool              // from the network: its mail is lost
	next   time.Time         // its next beat
}

const islandPartitions = 12

func newIsland(t judge) *island {
	return &island{t: t, now: time.UnixMilli(1_000_000), nodes: map[string]*inhabitant{}, epochs: map[int]uint64{}}
}

func (i *island) start(name string) {
	i.runs++
	c := Default("ownership", name, islandPartitions)
	n := &inhabitant{
		table: newTable(c, i.runs, i.now), claims: map[int]time.Time{}, next: i.now,
		mine: Beat{Node: name, Run: i.runs, Held: map[int]uint64{}, Wants: nothing},
	}
	i.nodes[name] = n
}

// names are the nodes that run, in order: nothing may depend on the order of a
// map.
func (i *island) names() []string { return slices.Sorted(maps.Keys(i.nodes)) }

// pass lets time go by in steps of 20 ms.
func (i *island) pass(d time.Duration) {
	for end := i.now.Add(d); i.now.Before(end); i.now = i.now.Add(20 * time.Millisecond) {
		i.deliver()
		for _, name := range i.names() {
			n := i.nodes[name]
			if n.asleep {
				continue
			}
			i.claim(n)
			i.learn(n)
			if !i.now.Before(n.next) {
				n.next = i.now.Add(300 * time.Millisecond)
				i.act(n)
				i.say(n)
			}
		}
	}
}

// claim finishes the claims whose time has come.
func (i *island) claim(n *inhabitant) {
	for _, p := range slices.Sorted(maps.Keys(n.claims)) {
		if at := n.claims[p]; !i.now.Before(at) {
			delete(n.claims, p)
			i.epochs[p]++
			i.claims++
			n.mine.Held[p] = i.epochs[p]
		}
	}
}

// learn: a holder that follows the log sees that another has claimed after it,
// and claims again after a while.
func (i *island) learn(n *inhabitant) {
	for p, epoch := range n.mine.Held {
		if epoch != 0 && epoch < i.epochs[p] && !n.cut {
			n.mine.Held[p], n.claims[p] = 0, i.now.Add(time.Second)
		}
	}
}

func (i *island) act(n *inhabitant) {
	d := n.table.decide(i.now, n.mine, false)
	for _, p := range d.hold {
		n.mine.Held[p] = 0
		n.claims[p] = i.now.Add(50 * time.Millisecond)
	}
	if d.move != nothing {
		i.moves++
		d.yield = append(d.yield, d.move)
	}
	changed := d.want != n.mine.Wants || len(d.yield) > 0
	for _, p := range d.yield {
		delete(n.mine.Held, p)
		delete(n.claims, p)
	}
	n.mine.Wants = d.want
	if changed {
		i.say(n)
	}
}

func (i *island) say(n *inhabitant) {
	n.mine.Number++
	for _, to := range i.names() {
		if !n.cut && !i.nodes[to].cut || to == n.mine.Node && !n.cut {
			i.mail = append(i.mail, letter{i.now.Add(10 * time.Millisecond), to, n.mine.encode()})
		}
	}
}

func (i *island) deliver() {
	var later []letter
	sent := i.mail
	i.mail = nil // what is said meanwhile
	for _, l := range sent {
		n := i.nodes[l.to]
		switch {
		case n == nil: // gone
		case n.asleep || l.at.After(i.now):
			later = append(later, l)
		case !n.cut:
			b, err := parseBeat(l.beat, islandPartitions)
			if err != nil {
				i.t.Fatal(err)
			}
			n.table.hear(b, i.now)
			i.act(n)
		}
	}
	i.mail = append(later, i.mail...)
	slices.SortStableFunc(i.mail, func(a, b letter) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
}

// holders says who believes to hold a partition with its present epoch; all that
// believe otherwise have been deposed.
func (i *island) holders(p int) (names []string) {
	for _, name := range i.names() {
		if e, ok := i.nodes[name].mine.Held[p]; ok && e == i.epochs[p] {
			names = append(names, name)
		}
	}
	return names
}

// calm: every partition is held by the node that all want, and by it alone.
func (i *island) calm() error {
	live := map[string]Beat{}
	for name, n := range i.nodes {
		live[name] = n.mine
	}
	wanted := wantedNodes(live, islandPartitions)
	for p := range islandPartitions {
		believers := 0
		for _, n := range i.nodes {
			if _, ok := n.mine.Held[p]; ok {
				believers++
			}
		}
		if got := i.holders(p); len(got) != 1 || believers != 1 || got[0] != wanted[p] {
			return fmt.Errorf("partition %d is held by %q (%d believe to), wanted %q", p, got, believers, wanted[p])
		}
	}
	return nil
}

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
