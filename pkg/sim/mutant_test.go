package sim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Answers that log nothing, given without a barrier, are found.
func TestMissingBarrierIsFound(t *testing.T) { //nolint:paralleltest // Run is alone
	for seed := uint64(1); seed < 60; seed++ {
		r := Run(t, Options{Seed: seed, noBarrier: true})
		if strings.Contains(r.Violation, "not so at any moment") || strings.Contains(r.Violation, "a holder of epoch") {
			t.Logf("seed %d: %s", seed, r.Violation)
			return
		}
	}
	t.Error("no seed finds it")
}

// mutant is a fault planted into the source of the services.
type mutant struct {
	name   string
	plants []plant
	finds  string // in the violation
}

// plant replaces a text that stands once in a file.
type plant struct{ file, old, new string }

// Faults in the source of the services are found: each is planted, and the
// simulation, built anew, must find it.
func TestMutantsAreFound(t *testing.T) { //nolint:paralleltest // the processors are busy enough
	if testing.Short() {
		t.Skip("builds the services anew for each mutant")
	}
	const holders, fan, stores = "../../services/ownership/", "../../services/fanout/", "../../pkg/store/"
	for _, m := range []mutant{ //nolint:paralleltest // as above
		{"a holder answers before the log has acknowledged", []plant{{
			holders + "holder.go", "	sequence, err := h.append(h.publishing, &rec, raw)\n",
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
		}}, "after it was decided"},
		{"a command's answer is written nowhere", []plant{{
			"../../pkg/eventlog/effects.go", "		p.tables.Answer(call.ID, a)\n", "",
		}}, "decided twice"},
		{"a cursor passes what is not delivered", []plant{{
			fan + "tracker.go", "		if !o.done {\n			dst = append(dst, o.position)", "		if o.position == 0 {\n			dst = append(dst, o.position)",
		}, {
			fan + "tracker.go", "	case len(t.open) > 0:\n		return t.open[0].position - 1\n", "",
		}}, "app "},
	} {
		t.Run(m.name, m.run)
	}
}

// run plants the fault and runs the simulation on it.
func (m *mutant) run(t *testing.T) {
	dir, overlay := t.TempDir(), map[string]string{}
	for _, p := range m.plants {
		p.put(t, dir, overlay)
	}
	data, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-failfast", "-overlay", file, "-run", "TestSimulate", ".", "-seeds", "100")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), m.finds) || !strings.Contains(string(out), "again, with every step") {
		t.Errorf("not found (%v):\n%.3000s", err, out)
	}
	t.Logf("%.400s", out)
}

func (p *plant) put(t *testing.T, dir string, overlay map[string]string) {
	t.Helper()
	path, err := filepath.Abs(p.file)
	if err != nil {
		t.Fatal(err)
	}
	from := path
	if overlay[path] != "" {
		from = overlay[path]
	}
	source, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), p.old) != 1 {
		t.Fatalf("%s does not have the text once where the fault goes: %q", p.file, p.old)
	}
	overlay[path] = filepath.Join(dir, filepath.Base(p.file))
	if err := os.WriteFile(overlay[path], []byte(strings.Replace(string(source), p.old, p.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}
