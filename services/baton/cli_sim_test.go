package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestSimCommands(t *testing.T) {
	t.Parallel()
	d := newDesk(t, t.TempDir())
	if out := d.ok("sim message", "where is my order?"); !regexp.MustCompile(`^sent +m_\S+\n$`).MatchString(out) {
		t.Error(out)
	}
	d.until(`person +where is my order\?\npage +Order 4711`, "sim show")
	if m := decodedJSON(t, d.ok("-o json sim message "+devThread+" hello")); !strings.HasPrefix(fmt.Sprint(m["mid"]), "m_") {
		t.Error(m)
	}
	if out := d.ok("sim postback " + devThread + " GET_STARTED"); !regexp.MustCompile(`tapped +\S`).MatchString(out) {
		t.Error(out)
	}
	d.until(`postback → `, "thread show "+devThread)
	if out := d.ok("sim ad 6001 --text from-an-ad"); !regexp.MustCompile(`clicked +6001 +m_`).MatchString(out) {
		t.Error(out)
	}
	d.ok("sim ad 6001")
	d.ok("sim referral summer")
	d.until(`referral → `, "thread show "+devThread)
	d.fails(exitFailure, `no survey to answer`, "sim feedback 5")
	d.fails(exitFailure, `not found: page 7`, "sim message 7 8 hello")
	d.fails(exitUsage, `invalid`, "sim ad none")
	d.fails(exitUsage, `invalid`, "sim message", strings.Repeat("x", 2001))
	d.switches()

	t.Log("the clock")
	now := d.ok("sim clock")
	if !regexp.MustCompile(`now +\S+Z\noffset +0s`).MatchString(now) {
		t.Error(now)
	}
	if out := d.ok("sim clock +25h"); !strings.Contains(out, "25h0m0s") {
		t.Error(out)
	}
	d.until(`owner +idle(.|\n)*expired +faq-bot → idle by the clock \(inactivity\)`, "thread show "+devThread)
}

func (d *desk) switches() {
	t := d.t
	t.Helper()
	if out := d.ok("sim switches"); !strings.Contains(out, "drop_reads") {
		t.Error(out)
	}
	out := d.ok("sim switches", `{"echo_late_ms": 5, "refuse": {"code": 3}}`)
	if !regexp.MustCompile(`echo_late_ms +5\n`).MatchString(out) || !strings.Contains(out, `refuse        {"code":3}`) {
		t.Error(out)
	}
	d.fails(exitUsage, `unknown field`, "sim switches", `{"echo": true}`)
	d.fails(exitUsage, `invalid`, "sim switches", `{"echo_late_ms": -1}`)
	if out := d.ok("sim switches --reset"); out != "all off\n" {
		t.Error(out)
	}
}
