package assignment

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
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
