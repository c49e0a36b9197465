package partition

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func nodes() *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9-]{0,11}`), 1, 9, rapid.ID)
}

// Every node that knows the same set computes the same table, in whatever order
// it heard of them.
func TestRendezvousAgreesForEqualSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := nodes().Draw(t, "nodes")
		other := rapid.Permutation(set).Draw(t, "order")
		for p := range Default {
			a, b := Rendezvous(p, set), Rendezvous(p, other)
			if a != b || !slices.Contains(set, a) {
				t.Fatalf("partition %d: %q and %q of %q", p, a, b, set)
			}
		}
	})
}

// A node that goes moves what it had, and nothing else.
func TestRendezvousMovesAsLittleAsPossible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := nodes().Draw(t, "nodes")
		gone := rapid.SampledFrom(set).Draw(t, "gone")
		rest := slices.DeleteFunc(slices.Clone(set), func(n string) bool { return n == gone })
		for p := range Default {
			before, after := Rendezvous(p, set), Rendezvous(p, rest)
			if before != gone && before != after {
				t.Fatalf("partition %d moved from %q to %q although %q went", p, before, after, gone)
			}
		}
	})
}

// Names that differ in their last character share the partitions fairly.
func TestRendezvousIsFair(t *testing.T) {
	t.Parallel()
	for count := 2; count <= 8; count++ {
		var set []string
		for n := range count {
			set = append(set, fmt.Sprint("node-", n))
		}
		got := map[string]int{}
		const partitions = 4096
		for p := range partitions {
			got[Rendezvous(p, set)]++
		}
		for node, n := range got {
			if share := partitions / count; n < share*8/10 || n > share*12/10 {
				t.Errorf("%s holds %d of %d among %d", node, n, partitions, count)
			}
		}
	}
}

func TestRendezvousOfNobody(t *testing.T) {
	t.Parallel()
	if got := Rendezvous(3, nil); got != "" {
		t.Errorf("got %q", got)
	}
}
