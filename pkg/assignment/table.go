package assignment

import (
	"maps"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/partition"
)

// askFor is how long a node asks for one partition before it asks for the next:
// its holder may be busy with others, or unwilling.
const askFor = 3 * time.Second

// A node that finds much without a holder, at a start or when another dies,
// claims so many partitions at a time: each claim reads, writes and fetches. One
// that takes longer than claimFor waits for something, and holds up no other.
const (
	claimsAtOnce = 16
	claimFor     = 2 * time.Second
)

// table is what one node knows of all nodes. Time is an argument, so that what
// it decides can be tested without a clock. Not safe for concurrent use.
type table struct {
	node       string
	run        uint64
	partitions int
	// alone says that no other node can exist: nothing is heard or waited for.
	alone bool
	// suspect is after how much silence a node counts as gone.
	suspect time.Duration
	// settled is when the node may begin to hold, and to ask.
	settled time.Time

	members map[string]member
	twin    time.Time // when another process of the same name was heard last
	waits   bool      // nothing is asked for at the moment
	nearing bool      // the node will soon be able to hold more than it says
	want    int
	asked   time.Time
	claims  map[int]time.Time // when those under way here began
}

type member struct {
	beat  Beat
	heard time.Time
}

// decision is what a node should do now.
type decision struct {
	hold  []int // begin to hold
	yield []int // give up: another node holds it with a later epoch
	move  int   // give up: its wanted node asks for it; -1 for none
	want  int   // ask for; -1 for none
	more  bool  // something waits to be held, or asked for, until claims are through
	busy  bool  // partitions are, or will soon be, taken over
}

func newTable(c Config, run uint64, now time.Time) *table {
	t := &table{
		node: c.Node, run: run, partitions: c.Partitions, alone: c.Alone, suspect: c.Suspect, settled: now.Add(c.Settle),
		members: map[string]member{}, want: nothing, claims: map[int]time.Time{},
	}
	if c.Alone {
		t.settled = now
	}
	return t
}

// hear takes a beat in, this node's own included.
func (t *table) hear(b Beat, now time.Time) {
	if b.Node == t.node && b.Run != t.run {
		t.twin = now
		return
	}
	if old, ok := t.members[b.Node]; ok && old.beat.Run == b.Run && b.Number <= old.beat.Number {
		return
	}
	t.members[b.Node] = member{b, now}
}

// hears reports whether the node hears itself: one that is cut off, or has just
// woken up, judges nobody by their silence.
func (t *table) hears(now time.Time) bool {
	return t.alone || now.Sub(t.members[t.node].heard) < t.suspect
}

// hasTwin reports whether another process goes by the same name.
func (t *table) hasTwin(now time.Time) bool { return !t.twin.IsZero() && now.Sub(t.twin) < t.suspect }

// live are the beats of the nodes that are there; mine takes the place of what
// this one has said.
func (t *table) live(now time.Time, mine Beat) map[string]Beat {
	for name, m := range t.members {
		if now.Sub(m.heard) >= t.suspect {
			delete(t.members, name)
		}
	}
	beats := make(map[string]Beat, len(t.members)+1)
	for name, m := range t.members {
		beats[name] = m.beat
	}
	beats[t.node] = mine
	return beats
}

// decide says what this node, which stands as mine says, should do. moving says
// that a move away from it is under way.
func (t *table) decide(now time.Time, mine Beat, moving bool) decision {
	d := decision{move: nothing, want: nothing}
	if !t.hears(now) || t.hasTwin(now) {
		return d
	}
	live := t.live(now, mine)
	wanted := wantedNodes(live, t.partitions)
	var wants []int
	free := t.freeClaims(mine, now)
	for p := range t.partitions {
		other, epoch := holderOf(live, p, t.node)
		own, held := mine.Held[p]
		switch {
		case held && other != "" && epoch > own:
			d.yield = append(d.yield, p)
		case held && wanted[p] != t.node && live[wanted[p]].Node != "" && live[wanted[p]].Wants == p && d.move == nothing && !moving:
			d.move = p
		case held || wanted[p] != t.node:
		case now.Before(t.settled): // nor does it ask: what it got it would not hold yet
		case other != "":
			wants = append(wants, p)
		case len(d.hold) >= free:
			d.more = true
		default:
			d.hold = append(d.hold, p)
			t.claims[p] = now
		}
	}
	claims := len(d.hold) > 0 || claiming(mine)
	d.busy = claims || d.more || len(wants) > 0 || t.nearing || now.Before(t.settled)
	if claims || t.waits { // one move at a time
		d.more = d.more || len(wants) > 0
		wants = nil
	}
	d.want = t.ask(wants, now)
	return d
}

// freeClaims is how many partitions the node may begin to claim now.
func (t *table) freeClaims(mine Beat, now time.Time) int {
	if t.alone { // there is nobody to be gentle with
		return t.partitions
	}
	maps.DeleteFunc(t.claims, func(p int, begun time.Time) bool {
		epoch, held := mine.Held[p]
		return !held || epoch > 0 || now.Sub(begun) > claimFor
	})
	return claimsAtOnce - len(t.claims)
}

// claiming reports whether a claim is under way that can succeed.
func claiming(mine Beat) bool {
	for p, epoch := range mine.Held {
		if epoch == 0 && !slices.Contains(mine.Unable, p) {
			return true
		}
	}
	return false
}

// ask picks the partition to ask for: the same as before while it is wanted,
// for a while, then the next one.
func (t *table) ask(wants []int, now time.Time) int {
	if slices.Contains(wants, t.want) && now.Sub(t.asked) < askFor {
		return t.want
	}
	next := nothing
	for _, p := range wants {
		if next == nothing || p > t.want && next <= t.want {
			next = p
		}
	}
	t.want, t.asked = next, now
	return next
}

// wantedNodes is the table: the node that should hold each partition, empty
// where there is none. It depends on the beats alone.
func wantedNodes(live map[string]Beat, partitions int) []string {
	staying := slices.Sorted(maps.Keys(live))
	staying = slices.DeleteFunc(staying, func(n string) bool { return live[n].Leaving })
	unable := make(map[int]map[string]bool)
	for _, node := range staying {
		for _, p := range live[node].Unable {
			if unable[p] == nil {
				unable[p] = map[string]bool{}
			}
			unable[p][node] = true
		}
	}
	wanted := make([]string, partitions)
	for p := range partitions {
		able := staying
		if n := len(unable[p]); n > 0 && n < len(staying) {
			able = slices.DeleteFunc(slices.Clone(staying), func(node string) bool { return unable[p][node] })
		}
		wanted[p] = partition.Rendezvous(p, able)
	}
	return wanted
}

// holderOf is the node beside this one that says it holds the partition, the one
// with the latest epoch; empty for none.
func holderOf(live map[string]Beat, p int, except string) (node string, epoch uint64) {
	for name, b := range live {
		if name == except {
			continue
		}
		if e, held := b.Held[p]; held && (node == "" || e > epoch || e == epoch && name < node) {
			node, epoch = name, e
		}
	}
	return node, epoch
}

// successors reports whether another node stays that could take over.
func (t *table) successors(now time.Time) bool {
	for name, m := range t.members {
		if name != t.node && !m.beat.Leaving && now.Sub(m.heard) < t.suspect {
			return true
		}
	}
	return false
}
