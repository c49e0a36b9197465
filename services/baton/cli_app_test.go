package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestAppCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.greet()
	if out := d.until(`live-agent +active +0`, "app ls"); !regexp.MustCompile(`700000000000001 +faq-bot +active +0 +0 +1 +http://127\.0\.0\.1:\d+/webhook`).MatchString(out) {
		t.Error(out)
	}
	if apps, ok := decodedJSON(t, d.ok("-o json app ls"))["apps"].([]any); !ok || len(apps) != 3 {
		t.Error(apps)
	}
	a := d.run("app pause live-agent --dry-run")
	if a.code != exitDone || !strings.Contains(a.errors, "would pause live-agent") {
		t.Errorf("%+v", a)
	}
	if out := d.ok("app ls"); !regexp.MustCompile(`live-agent +active`).MatchString(out) {
		t.Error(out)
	}
	if out := d.ok("app pause live-agent"); !regexp.MustCompile(`live-agent +paused .*by an operator`).MatchString(out) {
		t.Error(out)
	}
	d.ok("sim message", "anyone?")
	d.until(`live-agent +paused +[1-9]`, "app ls")
	d.ok("app resume 700000000000002")
	d.until(`live-agent +active +0 `, "app ls")
	d.ok("app rewind live-agent --position 1 --dry-run")
	d.ok("app rewind live-agent --position 1")
	d.until(`live-agent +active +0 `, "app ls")
	d.ok("app rewind live-agent --position 1 --partition 38")
	d.until(`(?s)app +700000000000002 live-agent.*breaker +closed.*38 +\d+ +\d+ +\d+ +0 `, "app show live-agent")
	d.ok("app skip live-agent")
	d.ok("app rewind live-agent --from 2026-01-02T15:04:05Z")
	d.until(`live-agent +active +0 `, "app ls")
	d.ok("app replay live-agent --from 2026-01-02T15:04:05Z --partition 38")
	d.until(`live-agent +active +0 `, "app ls")
	d.fails(exitUsage, `from "soon" is not a time`, "app replay live-agent --from soon")
	d.fails(exitUsage, `missing flags`, "app replay live-agent")
	d.fails(exitUsage, `missing flags`, "app rewind live-agent")
	d.fails(exitUsage, `can't be used together`, "app rewind live-agent --position 1 --from 2026-01-02T15:04:05Z")
	d.fails(exitUsage, `unknown app "nobody"`, "app show nobody")
	d.fails(exitUsage, `unknown app "nobody"`, "app skip nobody")
	d.fails(exitUsage, `unknown app "nobody"`, "app pause nobody")
	d.fails(exitUsage, `unknown app "nobody"`, "app resume nobody --dry-run")
	d.fails(exitUsage, `partition 64: there are 64, numbered from 0`, "app rewind survey --position 1 --partition 64")
	d.fails(exitUsage, `beyond what was read`, "app rewind survey --position 100000 --partition 3")
}

func TestARewindDeliversFromThatPositionOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.greet()
	d.until(`survey +active +0 `, "app ls")
	sent := regexp.MustCompile(`baton_deliveries_total\{app="700000000000003",channel="standby",outcome="delivered"\} (\d+)`)
	count := func() string {
		_, body := get(t, http.DefaultClient, d.admin+"/metrics")
		if m := sent.FindStringSubmatch(body); m != nil {
			return m[1]
		}
		return "0"
	}
	await(t, func() bool { return count() == "2" }, func() string { return "message and echo at survey, not " + count() })
	echo := regexp.MustCompile(`38-(\d+) .*routed +echo`).FindStringSubmatch(d.ok("thread show " + devThread))
	if echo == nil {
		t.Fatal(d.ok("thread show " + devThread))
	}
	d.ok("app rewind survey --partition 38 --position " + echo[1])
	await(t, func() bool { return count() == "3" }, func() string { return "the echo once more, not " + count() })
	d.until(`survey +active +0 `, "app ls")
	if got := count(); got != "3" {
		t.Errorf("%s deliveries after the rewind to the echo", got)
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDesk(t, dir)
	a := d.run("apply -f " + d.dev.file)
	if a.code != exitDone || strings.Contains(a.out, "change ") {
		t.Errorf("an unchanged file: %+v", a)
	}
	text := devConfig(dir, addresses{"127.0.0.1:0", "127.0.0.1:0", ""}, must(simRoster(dir)), must(demoRoster(dir)), d.dev.apps.CallbackURL)
	changed := write(t, dir, "next.yaml", strings.Replace(text, `name: survey`, `name: poll`, 1))
	out := d.ok("apply --dry-run -f " + changed)
	if !regexp.MustCompile(`change +.*survey.*poll`).MatchString(out) {
		t.Error(out)
	}
	if out := d.ok("app ls"); !strings.Contains(out, "survey") {
		t.Error("the dry run changed", out)
	}
	d.ok("apply -f " + changed)
	d.until(`poll`, "app ls")
	if out := d.ok("apply -f " + changed); strings.Contains(out, "change") {
		t.Error("applied twice:", out)
	}
	broken := write(t, dir, "broken.yaml", strings.Replace(text, `mode: handover`, `mode: relay`, 1))
	d.fails(exitUsage, `broken\.yaml:\d+:\d+: .*mode`, "apply -f "+broken)
}
