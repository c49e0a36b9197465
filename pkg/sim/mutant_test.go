package sim

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"
)

// mutant is a fault planted into the source of the services.
type mutant struct {
	name   string
	plants []plant
	finds  string // in the violation, a regular expression
	every  uint64 // which seeds are tried, those that it divides; 0 for all
}

// mutantSeeds is how many seeds may be needed to find a fault: most are found by one
// of the first, the rarest by one of 700.
const mutantSeeds = 1000

// Faults in the source of the services are found: each is planted, and the
// simulation, built anew, must find it.
func TestMutantsAreFound(t *testing.T) { //nolint:paralleltest // the processors are busy enough
	if testing.Short() || repeatable {
		t.Skip("builds the services anew for each mutant")
	}
	const holders, fan, stores, graphs = "../../services/ownership/", "../../services/fanout/", "../../pkg/store/", "../../services/graphapi/"
	for _, m := range []mutant{ //nolint:paralleltest // as above
		{"a holder answers before the log has acknowledged", []plant{{
			holders + "commit.go", "	sequence, err := h.append(h.publishing, &rec, raw)\n",
			"	s.answer()\n	sequence, err := h.append(h.publishing, &rec, raw)\n",
		}}, "command", 0},
		{"an unknown outcome is resolved by reading", []plant{
			{
				holders + "fence.go", "		case errors.Is(err, bus.ErrInvalid),",
				"		case errors.Is(err, bus.ErrOutcomeUnknown) && !rec.Claim:\n" +
					"			if _, err := h.deps.Log.NextLog(ctx, h.partition, h.sequence); errors.Is(err, bus.ErrNoMessage) {\n" +
					"				return 0, errors.New(\"it is not there\")\n			}\n" +
					"		case errors.Is(err, bus.ErrInvalid),",
			},
			{holders + "step.go", "	answers []func()\n", "	answers []func()\n	denials []func()\n"},
			{holders + "step.go", "abandon() { s.answers = nil }", "abandon() {\n	for _, f := range s.denials {\n		f()\n	}\n}"},
			{
				holders + "command.go", "	s.reply(func() { c.reply(r) })\n",
				"	s.reply(func() { c.reply(r) })\n	s.denials = append(s.denials, func() { s.h.unavailable(c, \"not there\") })\n",
			},
		}, "told that it was not", 0},
		{"a call's key does not reach the memory of the store", []plant{{
			stores + "apply.go", "p.mu.called.remember(k.generation, &k.id)", "_ = k",
		}}, "decided", 0},
		{"a command's answer is written nowhere", []plant{{
			"../../pkg/eventlog/effects.go", "		p.tables.Answer(call.ID, a)\n", "",
		}}, "decided|which the log has not accepted", 0},
		{"a claim skips the records before it", []plant{{
			holders + "claim.go", "catchUp(ctx context.Context) error {\n",
			"catchUp(ctx context.Context) error {\n" +
				"	if last, err := h.deps.Log.LastLog(ctx, h.partition); err == nil && last.Sequence > 0 {\n" +
				"		h.sequence = last.Sequence\n		return nil\n	}\n",
		}}, "the record at sequence", 0},
		{"a store that is ahead of its log goes on", []plant{{
			holders + "claim.go", "	if a.Sequence > last.Sequence {", "	if a.Sequence > last.Sequence+1000000 {",
		}}, "has not halted", lossSeeds},
		{"timers come before input", []plant{{
			holders + "timers.go", "	if h.consumed < h.dueNeeds || h.unread.left() {", "	if h.unread.left() {",
		}}, "is not decided yet", 0},
		{"a send's caller hears of its end before the log", []plant{{
			graphs + "send.go", "	if f.message.Action == \"\" && !f.log(ctx, end) {", "	if f.message.Action == \"\" && !f.log(ctx, end) && end.err != nil {",
		}}, "and the log has not", 0},
		{"a send leaves however late", []plant{{graphs + "forward.go", "		if left <= 0 {", "		if left <= 0 && attempt < 0 {"}}, "after its holder was first asked", 0},
		{"nobody looks whether the log has what was applied", []plant{
			{holders + "trust.go", "	return !h.cfg.Barrier || h.repairing", "	return true || h.repairing"},
			{holders + "trust.go", "		if newest == nil {", "		if true || newest == nil {"},
		}, "has not halted|differs from the fold of what is left|is of epoch [0-9]+, which is over", lossSeeds},
		{"fan-out reads on where another history goes on", []plant{
			{fan + "audit.go", "	if newest == nil {", "	if true || newest == nil {"},
			{fan + "follow.go", "	case before.record != 0 &&", "	case false &&"},
		}, "has read what the log has lost", lossSeeds},
		{"a cursor passes what is not delivered", []plant{{
			fan + "tracker.go", "		if !o.done {\n			dst = append(dst, o.position)", "		if o.position == 0 {\n			dst = append(dst, o.position)",
		}, {
			fan + "tracker.go", "	case len(t.open) > 0:\n		return t.open[0].position - 1\n", "",
		}}, "app ", 0},
		{"answers that log nothing are given without a barrier", []plant{{
			holders + "commit.go", "	if len(s.answers) > 0 && h.cfg.Barrier {", "	if len(s.answers) > 0 && false {",
		}}, "command", 0},
	} {
		t.Run(m.name, m.run)
	}
}

// Not among them is graphapi's look at the epoch of an answer: no answer is given
// before its record is in the log or a barrier was passed, so one of an epoch that
// is over breaks no promise. It ends a question sooner.

// run plants the fault, looks for a seed that finds it, and lets that seed find
// it again.
func (m *mutant) run(t *testing.T) {
	name := buildTest(t, m.plants...)
	var out bytes.Buffer
	err := spread(t.Context(), name, &out, seedsOf(mutantSeeds, max(m.every, 1)))
	found := again.FindSubmatch(out.Bytes())
	switch {
	case err == nil || found == nil:
		t.Fatalf("not found (%v):\n%s", err, out.Bytes()[max(0, out.Len()-3000):])
	case !regexp.MustCompile(m.finds).Match(found[1]):
		t.Fatalf("seed %s finds something else than %q: %s", found[2], m.finds, found[1])
	}
	t.Logf("seed %s: %s", found[2], found[1])
	seed, err := strconv.ParseUint(string(found[2]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := run(t.Context(), name, seed); err == nil || !bytes.Contains(text, found[1]) {
		t.Errorf("seed %d does not find it again (%v):\n%.3000s", seed, err, text)
	}
}

// again is what a run that finds something says.
var again = regexp.MustCompile(`sim_test\.go:\d+: (.*); again, with every step: .* -seed (\d+) `)
