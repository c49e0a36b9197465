package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/roster"
)

// minimal is a configuration on free ports with the simulator as platform and
// one app that nobody answers for. extra is added at the top level.
func minimal(dir, extra string) string {
	return `data_dir: ` + dir + `
listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0"}
nats: {listen: ""}
partitions: 4
` + extra + `
platform: {graph_url: simulator, app_id: "700000000009999", app_secret: platform-secret, verify_token: platform-verify}
egress: {allow: ["127.0.0.0/8"]}
apps:
  - {id: "700000000000001", name: faq-bot, secret: faq-secret, callback_url: "http://127.0.0.1:9/webhook", verify_token: v}
  - {id: "700000000000002", name: agent, secret: agent-secret, callback_url: "http://127.0.0.1:9/webhook", verify_token: v}
pages:
  - id: "100200300400500"
    name: ACME Air
    access_token: page-token
    routing: {mode: handover, primary: "700000000000001"}
    apps:
      - {app: "700000000000001", access_token: faq-acme-token, tasks: [MESSAGING, MODERATE], permissions: [pages_messaging]}
      - {app: "700000000000002", access_token: agent-acme-token, tasks: [MESSAGING, MODERATE], permissions: [pages_messaging]}
`
}

func TestCheckShowsAllFaultsAtOnceWithTheirLines(t *testing.T) {
	t.Parallel()
	text := minimal(t.TempDir(), "durability: forever")
	text = strings.Replace(text, "partitions: 4", "partitions: many\ntypo: 1", 1)
	text = strings.Replace(text, "secret: agent-secret", "secret: env:NO_SUCH_VARIABLE", 1)
	text = strings.Replace(text, `primary: "700000000000001"`, `primary: "7"`, 1)
	file := write(t, t.TempDir(), "baton.yaml", text)
	a := baton(t.Context(), "check", "--config", file)
	if a.code != exitUsage || a.out != "" {
		t.Fatalf("%+v", a)
	}
	for line, what := range map[string]string{"4": "partitions", "5": "typo", "6": "durability", "11": "NO_SUCH_VARIABLE", "16": "primary"} {
		if !regexp.MustCompile(`(?m)baton\.yaml:` + line + `:\d+: .*` + what).MatchString(a.errors) {
			t.Errorf("no fault about %s on line %s in\n%s", what, line, a.errors)
		}
	}
}

func TestCheckWithoutSecretsNeedsNone(t *testing.T) {
	t.Parallel()
	text := strings.Replace(minimal(t.TempDir(), ""), "agent-secret", "env:NO_SUCH_VARIABLE", 1)
	file := write(t, t.TempDir(), "baton.yaml", text)
	if a := baton(t.Context(), "check", "--no-secrets", "--config", file); a.code != exitDone || a.out != file+": ok\n" {
		t.Errorf("%+v", a)
	}
}

func TestCheckPrintsEverySettingAndNoSecret(t *testing.T) {
	t.Parallel()
	file := write(t, t.TempDir(), "baton.yaml", minimal(t.TempDir(), ""))
	a := baton(t.Context(), "check", "--print", "--set", "limits.webhook_bytes=1000000", "--config", file)
	if a.code != exitDone {
		t.Fatalf("%+v", a)
	}
	for _, secret := range []string{"platform-secret", "platform-verify", "faq-secret", "agent-secret", "page-token", "faq-acme-token"} {
		if strings.Contains(a.out, secret) {
			t.Errorf("%s is not hidden", secret)
		}
	}
	for _, setting := range []string{"durability: node", "partitions: 4", `webhook_bytes: "1000000"`, "inbound: 168h", "encoding: json", "retry_for: 36h", "mode: handover"} {
		if !strings.Contains(a.out, setting) {
			t.Errorf("no %q in\n%s", setting, a.out)
		}
	}
}

func TestLaterSourcesOverrideEarlierOnes(t *testing.T) {
	file := write(t, t.TempDir(), "baton.yaml", minimal(t.TempDir(), ""))
	t.Setenv("BATON_PARTITIONS", "8")
	t.Setenv("BATON_DURABILITY", "dev")
	a := baton(t.Context(), "check", "--print", "--set", "partitions=16", "--config", file)
	if a.code != exitDone || !strings.Contains(a.out, "partitions: 16") || !strings.Contains(a.out, "durability: dev") {
		t.Errorf("%+v", a)
	}
	t.Setenv("BATON_PARTITION", "8")
	if a := baton(t.Context(), "check", "--config", file); a.code != exitDone || !strings.Contains(a.errors, `BATON_PARTITION sets nothing (did you mean "BATON_PARTITIONS"?)`) {
		t.Errorf("%+v", a)
	}
}

func TestAProposalHoldsHashesOfTokensAndNoReference(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("FAQ_TOKEN", "faq-acme-token")
	key := write(t, dir, "secret", "agent-secret\n")
	text := strings.Replace(minimal(dir, ""), "access_token: faq-acme-token", "access_token: env:FAQ_TOKEN", 1)
	text = strings.Replace(text, "secret: agent-secret", "secret: file:"+key, 1)
	raw, err := proposal(write(t, dir, "baton.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	for _, absent := range []string{"faq-acme-token", "env:", "file:", "platform-secret"} {
		if strings.Contains(doc, absent) {
			t.Errorf("%q in the proposal", absent)
		}
	}
	if !strings.Contains(doc, digest("faq-acme-token")) || !strings.Contains(doc, `"agent-secret"`) {
		t.Error("the token's hash or the resolved secret is missing in", doc)
	}
	if _, err := roster.ParseDocument(raw); err != nil {
		t.Error(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, baton(t.Context(), "--admin", nowhere, "apply", "-f", dir+"/baton.yaml"), exitUsage, `secret: no such file|no such file`)
}
