package eventlog

import (
	"fmt"
	"maps"
	"slices"
)

// maxFaults bounds the faults that a Verifier lists; the rest are counted.
const maxFaults = 100

// Verifier checks the logs of any number of partitions and goes on after a
// fault, so that one look finds them all. The zero Verifier verifies from the
// beginning. It is not safe for concurrent use.
type Verifier struct {
	// Chain may be set to verify a part of a log; see Chain.Anywhere.
	Chain           Chain
	records, events uint64
	faults          []string
	unlisted        int
	broken          map[uint32]bool
}

// Check verifies the next record of its partition. After a fault the rest of
// that partition is counted and not judged: nothing can follow a broken link.
func (v *Verifier) Check(r *Record) {
	v.records++
	v.events += uint64(len(r.Entries))
	if v.broken[r.Partition] {
		return
	}
	if err := v.Chain.Check(r); err != nil {
		if v.broken == nil {
			v.broken = map[uint32]bool{}
		}
		v.broken[r.Partition] = true
		v.Fault("%v", err)
	}
}

// Add takes what another Verifier found on other partitions, as if v had checked
// their records after its own.
func (v *Verifier) Add(other *Verifier) {
	v.records += other.records
	v.events += other.events
	for _, fault := range other.faults {
		v.Fault("%s", fault)
	}
	v.unlisted += other.unlisted
	if v.broken == nil {
		v.broken = map[uint32]bool{}
	}
	maps.Copy(v.broken, other.broken)
	v.Chain.add(&other.Chain)
}

// Fault adds what a caller found beside the chain.
func (v *Verifier) Fault(format string, args ...any) {
	if len(v.faults) == maxFaults {
		v.unlisted++
		return
	}
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// Records and Events count what was checked.
func (v *Verifier) Records() uint64 { return v.records }

// Events counts the events of the records checked.
func (v *Verifier) Events() uint64 { return v.events }

// Faults lists what is wrong, records of ended epochs included.
func (v *Verifier) Faults() []string {
	all := slices.Clone(v.faults)
	for _, s := range v.Chain.Skipped() {
		all = append(all, fmt.Sprintf("partition %d, position %d: record of the ended epoch %d", s.Partition, s.First, s.Epoch))
	}
	if v.unlisted > 0 {
		all = append(all, fmt.Sprintf("and %d more", v.unlisted))
	}
	return all
}

// Partitions lists the partitions with an intact chain so far.
func (v *Verifier) Partitions() []uint32 { return slices.Sorted(maps.Keys(v.Chain.heads)) }
