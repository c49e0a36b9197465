package main

import (
	"strings"
	"testing"
)

// nowhere is an address that nothing listens on.
const nowhere = "http://127.0.0.1:1"

func TestWrongUsageIsExitCode2AndOneLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := write(t, dir, "other", "not an export\n")
	good := write(t, dir, "baton.yaml", minimal(dir, ""))
	for _, c := range []struct{ pattern, line string }{
		{`expected one of "dev"`, ""},
		{`unexpected argument frobnicate`, "frobnicate"},
		{`unknown flag --colour`, "version --colour"},
		{`--output must be one of`, "-o xml thread ls"},
		{`not a URL`, "--admin 127.0.0.1:8081 thread ls"},
		{`not a URL`, "--admin ftp://x thread ls"},
		{`not a URL`, "--admin http:// thread ls"},
		{`--cert and --key go together`, "--cert x thread ls"},
		{`no such file`, "--ca " + dir + "/absent thread ls"},
		{`holds none`, "--ca " + other + " thread ls"},
		{`expected "<page-id>|expected "<user-id>`, "thread show 1"},
		{`expected "<app>"`, "thread pass 1 2"},
		{`expected .*text`, "sim message"},
		{`want TEXT, or PAGE_ID USER_ID TEXT`, "sim message 1 hi"},
		{`not a duration forward`, "sim clock tomorrow"},
		{`not a duration forward`, "sim clock -- -1h"},
		{`--dry-run goes without a text`, "inbox reply 1 2 hello --dry-run"},
		{`unknown field`, `sim switches {"x":1}`},
		{`--reset goes without`, `sim switches --reset {}`},
		{`missing flags: --position`, "app rewind faq-bot"},
		{`exclude each other`, "log verify --file x --data-dir y"},
		{`no such file`, "log verify --file " + dir + "/absent"},
		{`not an exported log`, "log verify --file " + other},
		{`not an exported log`, "replay --file " + other},
		{`absent: `, "log verify --data-dir " + dir + "/absent"},
		{`absent: `, "replay --data-dir " + dir + "/absent"},
		{`no such file`, "check --config " + dir + "/absent"},
		{`no such file`, "serve --config " + dir + "/absent"},
		{`no such file`, "apply -f " + dir + "/absent"},
		{`missing flags: --file`, "apply"},
		{`unknown role "cook", want some of ownership, fanout, graphapi, ingress, console`, "serve --config " + good + " --roles cook"},
		{`--log-level must be one of`, "serve --config " + good + " --log-level loud"},
		{`sets? nothing|no such setting|unknown`, "serve --config " + good + " --set no.such=1"},
	} {
		t.Logf("baton %s", c.line)
		wantFailure(t, baton(t.Context(), strings.Fields(c.line)...), exitUsage, c.pattern)
	}
}

func TestAnUnreachableServerIsExitCode3(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "baton.yaml", minimal(t.TempDir(), ""))
	for _, line := range []string{
		"thread ls", "thread show 1 2", "thread watch", "thread pass 1 2 x", "thread take 1 2 x", "thread release 1 2",
		"inbox reply 1 2", "inbox reply 1 2 text", "inbox main 1 2", "inbox done 1 2",
		"app ls", "app pause x", "app pause x --dry-run", "app resume x", "app rewind x --position 1",
		"log tail", "log tail -f", "log cat", "log verify", "log export -", "replay", "apply -f " + file,
		"sim message x", "sim postback x", "sim ad 1", "sim clock", "sim show", "sim referral x", "sim feedback 5", "sim switches",
	} {
		t.Logf("baton %s", line)
		a := baton(t.Context(), append([]string{"--admin", nowhere}, strings.Fields(line)...)...)
		wantFailure(t, a, exitNotServed, `cannot be reached .* --admin\): .*refused`)
	}
}

func TestVersionAndHelpNeedNoServer(t *testing.T) {
	t.Parallel()
	if a := baton(t.Context(), "version"); a.code != exitDone || a.out != "baton "+Version+"\n" || a.errors != "" {
		t.Errorf("%+v", a)
	}
	for _, line := range []string{"--help", "thread --help", "app rewind --help"} {
		a := baton(t.Context(), strings.Fields(line)...)
		if a.code != exitDone || !strings.Contains(a.out, "Usage: baton") || strings.Contains(a.out, "\x1b") {
			t.Errorf("%s: %+v", line, a)
		}
	}
}
