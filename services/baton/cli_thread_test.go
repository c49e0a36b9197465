package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/services/demoapps"
)

// stamped is a time as operators read it.
const stamped = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`

// greet makes the default person write, and waits until faq-bot has answered.
func (d *desk) greet() {
	d.t.Helper()
	d.ok("sim message", "where is my order?")
	d.until("Order 4711", "sim show")
	d.until(`echo → faq-bot`, "thread show "+devThread)
}

func TestThreadCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())

	t.Log("an unknown thread is idle")
	if out := d.ok("thread show " + devThread); !regexp.MustCompile(`owner +idle\nsince +-\nuntil +-\n`).MatchString(out) || !strings.Contains(out, "next") {
		t.Error(out)
	}
	if out := d.ok("thread ls"); len(strings.Split(strings.TrimSpace(out), "\n")) != 1 {
		t.Error(out)
	}
	watch := start(t, "--admin", d.admin, "thread", "watch")
	d.greet()
	out := d.ok("thread show " + devThread)
	for _, line := range []string{
		`^thread +` + devPage + ` / ` + devPerson, `owner +faq-bot`, `since +` + stamped, `until +` + stamped, `last message +` + stamped,
		`revision +1`, `next +faq-bot may send, pass_thread_control`, `assigned +idle → faq-bot by the person \(lead\)`, `send_confirmed`,
	} {
		if !regexp.MustCompile(`(?m)` + line).MatchString(out) {
			t.Errorf("no %q in\n%s", line, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colour off a terminal")
	}
	if out := d.ok("thread show " + devThread + " --events 2"); !strings.Contains(out, "2 events") {
		t.Error(out)
	}
	m := decodedJSON(t, d.ok("-o json thread show "+devThread))
	if th, ok := m["thread"].(map[string]any); !ok || th["owner_name"] != "faq-bot" || th["owner"] != "700000000000001" || th["revision"] != float64(1) {
		t.Error(m)
	}
	d.moves()
	watch.prints(devPage + "/" + devPerson + `  assigned  idle → faq-bot`)
	watch.prints(`passed  faq-bot → live-agent .*"look"`)
	if code := watch.stop(); code != exitDone || watch.errors.String() != "" {
		t.Errorf("exit code %d, %s", code, watch.errors.String())
	}
}

// moves moves control around: dry, then in earnest.
func (d *desk) moves() {
	t := d.t
	t.Helper()
	for _, c := range []struct{ line, then string }{
		{"thread pass " + devThread + " live-agent", `owner +live-agent`},
		{"thread take " + devThread + " survey", `owner +survey`},
		{"thread release " + devThread, `owner +idle`},
	} {
		was := d.standing()
		d.ok(c.line + " --dry-run")
		if now := d.standing(); now != was {
			t.Errorf("%s --dry-run changed\n%s to\n%s", c.line, was, now)
		}
		if out := d.ok(c.line + " --metadata look"); !regexp.MustCompile(c.then).MatchString(out) {
			t.Errorf("%s: want %q in\n%s", c.line, c.then, out)
		}
		d.until(c.then, "thread show "+devThread)
	}
	d.ok("thread release " + devThread)
	d.ok("thread take " + devThread + " 700000000000002")
	d.fails(exitFailure, `refused: UNKNOWN_TARGET`, "thread pass "+devThread+" 7777777")
	for pattern, line := range map[string]string{
		`unknown app "nobody"`:  "thread pass " + devThread + " nobody",
		`user id "x" is not`:    "thread pass " + devPage + " x faq-bot",
		`page id "0" is not`:    "thread show 0 1",
		`metadata is longer`:    "thread pass " + devThread + " survey --metadata " + strings.Repeat("x", 2001),
		`"yesterday" is not`:    "thread show " + devThread + " --at yesterday",
		`unknown app "someone"`: "thread ls --owner someone",
		`page id "acme" is not`: "thread ls --page acme",
		`user id "" is not`:     "thread ls --after 5",
		`page id "p" is not`:    "thread watch p",
	} {
		d.fails(exitUsage, pattern, line)
	}
	d.fails(exitFailure, `unknown page 7`, "thread show 7 8")
	d.fails(exitFailure, `unknown page 7`, "thread pass 7 8 faq-bot")
}

func TestThreadShowExplainsARefusal(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.greet()
	if _, err := d.dev.apps.Send(t.Context(), demoapps.Survey, defaultPerson, "Buy one, get one free!"); err == nil {
		t.Fatal("the send was not refused")
	}
	d.ok("sim message", "hello?") // a refusal is logged with the next record
	d.until(`refused +survey was refused \w+ ×1: \w+: faq-bot has control since `+stamped+` until `+stamped+`; next: request_thread_control`, "thread show "+devThread)
}

// standing is who has control, and since how many changes.
func (d *desk) standing() string {
	return strings.Join(regexp.MustCompile(`(?m)^(owner|since|revision) .*$`).FindAllString(d.ok("thread show "+devThread), -1), "\n")
}

func TestThreadShowAtAnEarlierTime(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	before := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
	d.greet()
	since := regexp.MustCompile(`since +(` + stamped + `)`)
	then := since.FindStringSubmatch(d.ok("thread show " + devThread))[1]
	d.ok("thread pass " + devThread + " live-agent")
	if out := d.ok("thread show " + devThread + " --at " + before); !regexp.MustCompile(`owner +idle`).MatchString(out) || !strings.Contains(out, " 0 events") {
		t.Error(out)
	}
	if out := d.ok("thread show " + devThread + " --at " + then); !regexp.MustCompile(`owner +faq-bot`).MatchString(out) || strings.Contains(out, "passed") {
		t.Error(out)
	}
	if out := d.ok("thread show " + devThread + " --at 2200-01-01T00:00:00Z"); !regexp.MustCompile(`owner +live-agent`).MatchString(out) {
		t.Error(out)
	}
}

func TestThreadLsPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	for person := range 5 {
		d.ok(fmt.Sprintf("sim message %s %d hello", devPage, 1001+person))
	}
	d.until(`1001(.|\n)*1002(.|\n)*1003(.|\n)*1004(.|\n)*1005`, "thread ls")
	var seen []string
	next := ""
	for {
		line := "thread ls --limit 2"
		if next != "" {
			line += " --after " + next
		}
		out := d.ok(line)
		for _, m := range regexp.MustCompile(`(?m)^`+devPage+` +(\d+) `).FindAllStringSubmatch(out, -1) {
			seen = append(seen, m[1])
		}
		m := regexp.MustCompile(`more: --after (\S+)`).FindStringSubmatch(out)
		if m == nil {
			break
		}
		next = m[1]
	}
	if got := strings.Join(seen, " "); got != "1001 1002 1003 1004 1005" {
		t.Error(got)
	}
	d.ok("thread take " + devPage + " 1003 live-agent")
	d.until(`1003 +live-agent`, "thread ls")
	if out := d.ok("thread ls --owner live-agent --page " + devPage); strings.Contains(out, "1001") || !strings.Contains(out, "1003") {
		t.Error(out)
	}
	if out := d.ok("thread ls --owner idle"); strings.Contains(out, "100") && strings.Contains(out, "faq-bot") {
		t.Error(out)
	}
}

func TestInboxCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	d.greet()
	was := d.standing()
	for _, verb := range []string{"reply", "main", "done"} {
		d.run("inbox " + verb + " " + devThread + " --dry-run")
	}
	if now := d.standing(); now != was {
		t.Errorf("dry runs changed\n%s to\n%s", was, now)
	}
	if out := d.ok("inbox main " + devThread); !regexp.MustCompile(`owner +page-inbox`).MatchString(out) {
		t.Error(out)
	}
	d.ok("inbox done " + devThread)
	d.until(`owner +faq-bot\n(.|\n)*done +marked done(.|\n)*inbox_done`, "thread show "+devThread)
	if out := d.ok("inbox reply " + devThread); !regexp.MustCompile(`owner +(page-inbox|faq-bot)`).MatchString(out) {
		t.Error(out)
	}
	d.fails(exitFailure, `unknown page 7`, "inbox main 7 8")
	d.fails(exitUsage, `user id "x" is not`, "inbox done "+devPage+" x")
	t.Log("the simulated human writes")
	d.fails(exitFailure, `nobody has written yet`, "inbox reply "+devPage+" 77", "a human here")
	if out := d.ok("inbox reply "+devThread, "a human here"); !regexp.MustCompile(`replied +m_\S+`).MatchString(out) {
		t.Error(out)
	}
	d.until(`inbox +a human here`, "sim show "+devThread)
}
