package sim

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mutant is a fault planted into the source of the services.
type mutant struct {
	name   string
	plants []plant
	finds  string // in the violation
}

// Faults in the source of the services are found: each is planted, and the
// simulation, built anew, must find it.
func TestMutantsAreFound(t *testing.T) { //nolint:paralleltest // the processors are busy enough
	if testing.Short() || repeatable {
		t.Skip("builds the services anew for each mutant")
	}
	const holders, fan, stores = "../../services/ownership/", "../../services/fanout/", "../../pkg/store/"
	for _, m := range []mutant{ //nolint:paralleltest // as above
		{"a holder answers before the log has acknowledged", []plant{{
			holders + "commit.go", "	sequence, err := h.append(h.publishing, &rec, raw)\n",
			"	s.answer()\n	sequence, err := h.append(h.publishing, &rec, raw)\n",
		}}, "command"},
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
		}, "told that it was not"},
		{"a call's key does not reach the memory of the store", []plant{{
			stores + "apply.go", "p.mu.called.remember(k.generation, &k.id)", "_ = k",
		}}, "decided"},
		{"a command's answer is written nowhere", []plant{{
			"../../pkg/eventlog/effects.go", "		p.tables.Answer(call.ID, a)\n", "",
		}}, "decided twice"},
		{"a cursor passes what is not delivered", []plant{{
			fan + "tracker.go", "		if !o.done {\n			dst = append(dst, o.position)", "		if o.position == 0 {\n			dst = append(dst, o.position)",
		}, {
			fan + "tracker.go", "	case len(t.open) > 0:\n		return t.open[0].position - 1\n", "",
		}}, "app "},
		{"answers that log nothing are given without a barrier", []plant{{
			"node.go", "Barrier: true", "Barrier: false",
		}}, "command"},
	} {
		t.Run(m.name, m.run)
	}
}

// run plants the fault, looks for a seed that finds it, and lets that seed find
// it again.
func (m *mutant) run(t *testing.T) {
	name := buildTest(t, m.plants...)
	var out bytes.Buffer
	err := spread(t.Context(), name, &out, 1, 200)
	found := again.FindSubmatch(out.Bytes())
	if err == nil || found == nil || !strings.Contains(string(found[1]), m.finds) {
		t.Fatalf("not found (%v):\n%.3000s", err, out.Bytes())
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
