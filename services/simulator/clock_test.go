package simulator_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/services/simulator"
)

func TestTheClockOnlyMovesForward(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, d := range []time.Duration{-1, 21 * 365 * 24 * time.Hour} {
		if _, err := w.sim.Clock(d); !errors.Is(err, simulator.ErrInvalid) {
			t.Errorf("%v: %v", d, err)
		}
	}
	if got, err := w.sim.Clock(24 * time.Hour); err != nil || got != 24*time.Hour || w.sim.Offset() != got {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := w.sim.Clock(0); err != nil || got != 24*time.Hour {
		t.Errorf("reading: %v, %v", got, err)
	}
	if ahead := time.Until(w.sim.Now()); ahead < 23*time.Hour || ahead > 25*time.Hour {
		t.Errorf("now is %v ahead", ahead)
	}
	before := time.Now().Add(24 * time.Hour).UnixMilli()
	if _, err := w.sim.Message(page, person, "tomorrow", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	if g := w.ingress.next(); int64(g.entry) < before {
		t.Errorf("webhook at %d, want %d or later", g.entry, before)
	}
}

func TestAClockThatCannotBeKeptDoesNotMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stop()
	c := baseConfig(t, w.ingress.URL)
	sim, err := simulator.New(c, simulator.Deps{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	if err := os.RemoveAll(c.DataDir); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Clock(time.Hour); err == nil || sim.Offset() != 0 {
		t.Errorf("offset %v, %v", sim.Offset(), err)
	}
}

func TestClockPeopleAndProfileSurviveARestart(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	c := baseConfig(t, f.URL)
	w := start(t, f, c)
	w.writes("hello")
	w.graph("POST", "/me/messenger_profile", `{"get_started":{"payload":"GO"}}`)
	if _, err := w.sim.Clock(time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := w.sim.Main(page, person); err != nil {
		t.Fatal(err)
	}
	f.next()
	w.stop()
	w = start(t, f, c)
	if w.sim.Offset() != time.Hour {
		t.Errorf("offset %v", w.sim.Offset())
	}
	if lines, err := w.sim.Transcript(page, person); err != nil || len(lines) != 1 || lines[0].Text != "hello" {
		t.Errorf("transcript %v, %v", lines, err)
	}
	if a := w.graph("GET", "/me/thread_owner?recipient=9001234567890123", ""); ownerOf(a) != inbox {
		t.Errorf("owner %v", a.body)
	}
	if tap, err := w.sim.Postback(page, person, "", "Get Started"); err != nil || tap.Payload != "GO" {
		t.Errorf("%+v, %v", tap, err)
	}
}

func TestMessageIDsNeverRepeatAfterAKill(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	c := baseConfig(t, f.URL)
	c.Listen = ""
	seen := map[string]bool{}
	for range 3 { // never run, so nothing but the reservation is written
		sim, err := simulator.New(c, simulator.Deps{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			mid, err := sim.Message(page, person, "hello", simulator.MessageOptions{})
			if err != nil || seen[mid] {
				t.Fatalf("%q, %v", mid, err)
			}
			seen[mid] = true
		}
	}
}

func TestTheSameSeedMakesTheSameIDs(t *testing.T) {
	t.Parallel()
	f := newIngress(t)
	var mids [2]string
	for i := range mids {
		c := baseConfig(t, f.URL)
		c.Listen = ""
		sim, err := simulator.New(c, simulator.Deps{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if mids[i], err = sim.Message(page, person, "hello", simulator.MessageOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if mids[0] != mids[1] {
		t.Errorf("%v", mids)
	}
}

func TestAStateFileThatCannotBeReadIsRefusedWithTheWayOut(t *testing.T) {
	t.Parallel()
	c := baseConfig(t, "http://127.0.0.1:1/webhook")
	path := filepath.Join(c.DataDir, "simulator.json")
	for content, want := range map[string]string{"{": "remove it", `{"format":99}`: "newer version"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := simulator.New(c, simulator.Deps{Logger: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

func TestEveryFaultOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := simulator.New(simulator.Config{
		WebhookURL: "webhook", MaxInFlight: -1,
		Pages: []simulator.Page{{ID: 1, AccessToken: "a"}, {ID: 1, AccessToken: "a"}, {}},
	}, simulator.Deps{})
	for _, want := range []string{"data directory", "absolute URL", "app secret", "listed twice", "same access token", "needs an id", "negative"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

func TestDevRosterKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := simulator.DevRoster(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := simulator.DevRoster(dir)
	if err != nil || again != first {
		t.Errorf("%+v, %v", again, err)
	}
	elsewhere, err := simulator.DevRoster(t.TempDir())
	if err != nil || elsewhere.AppSecret == first.AppSecret || elsewhere.PageToken == first.PageToken {
		t.Errorf("secrets repeat: %v", err)
	}
	c := first.Configure(simulator.Config{DataDir: dir, WebhookURL: "http://127.0.0.1:1/webhook"})
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "simulator-secrets.json")); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}
