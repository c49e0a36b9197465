package eventlog_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/eventlog"
	"github.com/baton-router/baton/pkg/eventlog/eventlogtest"
)

func TestChainAcceptsAHistory(t *testing.T) {
	t.Parallel()
	var chain eventlog.Chain
	var heads [3]*eventlogtest.History
	for p := range heads {
		heads[p] = eventlogtest.NewHistory(rand.New(rand.NewPCG(1, uint64(p))), uint32(p))
	}
	for i := range 60 {
		r, _ := heads[i%3].Next()
		if err := chain.Check(r); err != nil {
			t.Fatal(err)
		}
		if got := chain.Head(r.Partition); got.Position != r.Last() || got.Hash != r.Hash {
			t.Fatalf("head %+v after %d", got, r.Last())
		}
	}
	if len(chain.Skipped()) != 0 {
		t.Errorf("skipped %v", chain.Skipped())
	}
}

// twoRecords is a claim of epoch 3 with a record after it.
func twoRecords() (claim, next eventlog.Record) {
	claim = eventlog.Record{Partition: 1, Epoch: 3, Claim: true, First: 1, DecidedAt: 100, Input: 9, BatonID: [16]byte{1}}
	eventlog.Encode(&claim)
	next = claim
	next.Claim, next.Prev = false, claim.Hash
	next.Entries = []eventlog.Entry{{Event: eventlogtest.Kinds()[0]}}
	return claim, next
}

func TestChainRefusesWhatDoesNotContinue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(*eventlog.Record)
		want  string
	}{
		{"a gap", func(r *eventlog.Record) { r.First++ }, "ends at position 0"},
		{"another predecessor", func(r *eventlog.Record) { r.Prev[0]++ }, "hash"},
		{"a new epoch without claim", func(r *eventlog.Record) { r.Epoch++ }, "without a claim"},
		{"the epoch claimed again", func(r *eventlog.Record) { r.Claim = true }, "claimed twice"},
		{"input going back", func(r *eventlog.Record) { r.Input-- }, "input position 8 after 9"},
		{"time going back", func(r *eventlog.Record) { r.DecidedAt-- }, "partition time 99 after 100"},
		{"other streams", func(r *eventlog.Record) { r.BatonID[0]++ }, "streams"},
	}
	for _, test := range tests {
		claim, next := twoRecords()
		var chain eventlog.Chain
		if err := chain.Check(&claim); err != nil {
			t.Fatal(err)
		}
		test.spoil(&next)
		err := chain.Check(&next)
		if !errors.Is(err, eventlog.ErrBrokenChain) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, good := twoRecords(); chain.Check(&good) != nil {
			t.Errorf("%s: the chain does not stay where it was", test.name)
		}
	}
}

func TestALogBeginsWithAClaim(t *testing.T) {
	t.Parallel()
	claim, _ := twoRecords()
	claim.Claim = false
	if err := new(eventlog.Chain).Check(&claim); !errors.Is(err, eventlog.ErrBrokenChain) {
		t.Errorf("epoch without claim: %v", err)
	}
	claim.Epoch = 0
	if err := new(eventlog.Chain).Check(&claim); !errors.Is(err, eventlog.ErrBrokenChain) {
		t.Errorf("epoch 0: %v", err)
	}
}

func TestRecordsOfAnEndedEpochAreSkipped(t *testing.T) {
	t.Parallel()
	claim, zombie := twoRecords()
	takeover := claim
	takeover.Epoch, takeover.Prev = 4, claim.Hash
	eventlog.Encode(&takeover)
	var chain eventlog.Chain
	for _, r := range []*eventlog.Record{&claim, &takeover, &zombie} {
		if err := chain.Check(r); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]eventlog.Skipped{{Partition: 1, First: 1, Epoch: 3}}, chain.Skipped()); diff != "" {
		t.Error(diff)
	}
	if chain.Head(1).Epoch != 4 {
		t.Errorf("head %+v", chain.Head(1))
	}
	var p eventlog.Partition
	for _, r := range []*eventlog.Record{&claim, &takeover} {
		if err := p.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Apply(&zombie); !errors.Is(err, eventlog.ErrStaleEpoch) || p.Head() != chain.Head(1) {
		t.Errorf("fold: %v, at %+v", err, p.Head())
	}
}

func TestChainMayBeginAnywhere(t *testing.T) {
	t.Parallel()
	h := eventlogtest.NewHistory(rand.New(rand.NewPCG(2, 2)), 0)
	h.Next()
	h.Next()
	part, _ := h.Next()
	if err := new(eventlog.Chain).Check(part); !errors.Is(err, eventlog.ErrBrokenChain) {
		t.Errorf("from the middle: %v", err)
	}
	chain := eventlog.Chain{Anywhere: true}
	next, _ := h.Next()
	if err := errors.Join(chain.Check(part), chain.Check(next)); err != nil {
		t.Error(err)
	}
	if err := chain.Check(part); err == nil {
		t.Error("a record twice is accepted")
	}
}
