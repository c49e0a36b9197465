package roster

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFaultsOfSettings(t *testing.T) {
	t.Parallel()
	base := "platform: {graph_url: simulator}\n"
	app := base + "apps:\n  - {id: \"7\", secret: s, "
	page := base + "apps: [{id: \"7\", secret: s}, {id: \"8\", secret: t}]\npages:\n  - {id: \"1\", apps: [{app: \"7\", access_token: T}], "
	for name, c := range map[string]struct{ yaml, want string }{
		"nats address":        {base + "nats: {url: \"http://x\"}\n", "nats.url: is not a nats:// or tls:// address"},
		"nats twice proven":   {base + "nats: {url: \"nats://x:4222\", creds: a, user: b}\n", "nats.creds: creds, nkey and user exclude each other"},
		"nats tls halves":     {base + "nats: {tls: {key: a}}\n", "nats.tls: cert and key belong together"},
		"reader's name":       {base + "nats: {readers: [{name: baton, password: p}]}\n", `nats.readers[0].name: "baton" is empty, reserved or used twice`},
		"reader's password":   {base + "nats: {readers: [{name: a}]}\n", "nats.readers[0].password: is missing"},
		"reader's pages":      {base + "nats: {readers: [{name: a, password: p, pages: [x]}]}\n", `nats.readers[0].pages[0]: "x" is not an id`},
		"client ca alone":     {base + "listen: {tls: {client_ca: a}}\n", "listen.tls.client_ca: needs cert and key"},
		"token twice":         {base + "admin: {tokens: [{name: a, token: x, role: viewer}, {name: b, token: x, role: admin}]}\n", `admin.tokens[1].token: is the same token as that of "a"`},
		"name twice":          {base + "admin: {tokens: [{name: a, token: x, role: viewer}, {name: a, token: y, role: admin}]}\n", `admin.tokens[1].name: "a" is empty or used twice`},
		"version":             {"platform: {graph_url: simulator, version: 25}\n", `platform.version: "25" is not of the form "v25.0"`},
		"time-out":            {"platform: {graph_url: simulator, timeout: 1h}\n", "platform.timeout: 1h is not between 100ms and 2m"},
		"size":                {base + "limits: {webhook_bytes: 5}\n", "limits.webhook_bytes: 5 is not between 1 KiB and 1 GiB"},
		"encoding":            {base + "control: {encoding: xml}\n", `control.encoding: "xml" is none of json, protobuf`},
		"data directory":      {base + "data_dir: \"\"\n", "data_dir: is empty"},
		"platform's token":    {"platform: {graph_url: \"https://g.test\", app_id: \"5\", app_secret: s}\n", "platform.verify_token: is missing"},
		"page's token":        {"platform: {graph_url: \"https://g.test\", app_id: \"5\", app_secret: s, verify_token: v}\npages: [{id: \"1\"}]\n", "pages[0].access_token: is missing"},
		"Baton's own app":     {"platform: {graph_url: simulator, app_id: \"7\"}\napps: [{id: \"7\", secret: s}]\n", "apps[0].id: 7 is platform.app_id, Baton's own app"},
		"callback's user":     {app + "callback_url: \"http://u:p@x/\"}\n", "apps[0].callback_url: must not carry a user or password"},
		"callback's end":      {app + "callback_url: \"http://x/#a\"}\n", "apps[0].callback_url: must not carry a fragment"},
		"tester":              {app + "testers: [me]}\n", `apps[0].testers[0]: "me" is not an id`},
		"retry":               {app + "delivery: {retry_for: 1000h}}\n", "apps[0].delivery.retry_for: 1000h is more than 720h"},
		"rate":                {app + "rate_limit: {per_second: -1}}\n", "apps[0].rate_limit: is negative"},
		"primary elsewhere":   {page + "routing: {primary: \"8\"}}\n", "pages[0].routing.primary: app 8 is not connected to this page"},
		"primary in cr":       {page + "routing: {mode: conversation_routing, primary: \"7\"}}\n", "pages[0].routing.primary: is for handover mode"},
		"unknown link":        {page + "routing: {links: {r: \"9\"}}}\n", `pages[0].routing.links["r"]: app 9 is not in apps`},
		"social app":          {page + "routing: {social_app: x}}\n", `pages[0].routing.social_app: "x" is not an id`},
		"idle send":           {page + "routing: {idle_send: owner}}\n", `pages[0].routing.idle_send: "owner" is none of any, owner_only`},
		"ig style":            {page + "routing: {ig_style: \"1\"}}\n", `pages[0].routing.ig_style: "1" is none of 2018300, 2534037`},
		"connected twice":     {base + "apps: [{id: \"7\", secret: s}]\npages: [{id: \"1\", apps: [{app: \"7\", access_token: A}, {app: \"7\", access_token: B}]}]\n", "pages[0].apps[1].app: app 7 is connected twice"},
		"inbox connected":     {base + "pages: [{id: \"1\", apps: [{app: \"263902037430900\", access_token: A}]}]\n", "pages[0].apps[0].app: 263902037430900 is a built-in inbox"},
		"page twice":          {base + "pages: [{id: \"1\"}, {id: \"1\"}]\n", "pages[1].id: page 1 is listed twice"},
		"linked to itself":    {base + "pages: [{id: \"1\", object: instagram, linked_page: \"1\"}]\n", "pages[0].linked_page: is the account itself"},
		"permission":          {base + "apps: [{id: \"7\", secret: s}]\npages: [{id: \"1\", apps: [{app: \"7\", access_token: A, permissions: [Pages]}]}]\n", `pages[0].apps[0].permissions[0]: "Pages" is not the name of a permission`},
		"proxy address":       {base + "egress: {proxy: {url: \"socks5://p:1\"}}\n", "egress.proxy.url: is not http://host:port or https://host:port"},
		"proxy's user":        {base + "egress: {proxy: {url: \"http://u:p@p:1\"}}\n", "egress.proxy.url: must not carry a user or password"},
		"proxy without url":   {base + "egress: {proxy: {user: u}}\n", "egress.proxy.url: is missing"},
		"proxy's password":    {base + "egress: {proxy: {url: \"http://p:1\", password: x}}\n", "egress.proxy.user: is missing"},
		"proxy's roots":       {base + "egress: {proxy: {url: \"http://p:1\", ca: a.pem}}\n", "egress.proxy.ca: is for an https proxy"},
		"small delivery log":  {base + "delivery_log: {bytes: 5}\n", "delivery_log.bytes: 5 is neither 0 nor between 1 MiB and 1024 GiB"},
		"short delivery log":  {base + "delivery_log: {age: 1s}\n", "delivery_log.age: 1s is not between 1m and 8760h"},
		"negative sample":     {base + "delivery_log: {successes: -1}\n", "delivery_log.successes: -1 is negative"},
		"large bodies":        {base + "delivery_log: {body_bytes: 1MiB}\n", "delivery_log.body_bytes: 1048576 is more than 64 KiB"},
		"short dead letters":  {base + "retention: {dead_letters: 1s}\n", "retention.dead_letters: 1s is below 1h"},
		"few dead letters":    {base + "retention: {dead_letters_bytes: 1}\n", "retention.dead_letters_bytes: 1 is below 16 MiB"},
		"secret twice":        {app + "previous_secret: s}\n", "apps[0].previous_secret: is the same as secret"},
		"half a certificate":  {app + "tls: {cert: x}}\n", "apps[0].tls: cert and key belong together"},
		"no certificate":      {app + "tls: {cert: x, key: y}}\n", "apps[0].tls.cert: tls: failed to find any PEM data"},
		"no roots":            {app + "tls: {ca: x}}\n", "apps[0].tls.ca: holds no PEM certificate"},
		"token endpoint":      {app + "oauth: {token_url: \"ftp://x\", client_id: a, client_secret: b}}\n", `apps[0].oauth.token_url: "ftp://x" is not an absolute http or https address`},
		"no client":           {app + "oauth: {token_url: \"https://x.test\", client_secret: b}}\n", "apps[0].oauth.client_id: is missing"},
		"no client secret":    {app + "oauth: {token_url: \"https://x.test\", client_id: a}}\n", "apps[0].oauth.client_secret: is missing"},
		"way of the secret":   {app + "oauth: {token_url: \"https://x.test\", client_id: a, client_secret: b, auth: header}}\n", `apps[0].oauth.auth: "header" is none of basic, body`},
		"two apps, one token": {base + "apps: [{id: \"7\", secret: s}, {id: \"8\", secret: s}]\npages: [{id: \"1\", apps: [{app: \"7\", access_token: A}, {app: \"8\", access_token: A}]}]\n", "is the same token as that of app 7 on page 1; here it is app 8 on page 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Source{Name: "baton.yaml", Data: []byte(c.yaml)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want %s\ngot  %v", c.want, err)
			}
			if n := strings.Count(err.Error(), "\n"); n != 0 {
				t.Errorf("%d more faults: %v", n, err)
			}
		})
	}
}

func TestExposedListenersWithTheirGuards(t *testing.T) {
	t.Parallel()
	config(t, `
platform: {graph_url: simulator}
listen: {public: ":8080", admin: "0.0.0.0:8081", tls: {cert: c.pem, key: k.pem, client_ca: a.pem}}
admin: {tokens: [{name: ops, token: t, role: operator}]}
nats: {listen: "0.0.0.0:4222", readers: [{name: r, password: p, pages: ["1"]}], tls: {cert: c.pem, key: k.pem}}
egress: {allow: ["10.0.0.0/8", "fd00::/8", "hooks.internal:9000", "[::1]:9001"]}
`)
	config(t, "platform: {graph_url: simulator}\nlisten: {admin: \"[::1]:0\"}\nnats: {listen: \"\"}\ndurability: dev\n")
}

func TestDefaultAppMayBeAnInbox(t *testing.T) {
	t.Parallel()
	config(t, `
platform: {graph_url: simulator}
pages: [{id: "1", routing: {mode: conversation_routing, default_app: "263902037430900", can_take: ["263902037430900"]}}]
`)
}

func TestAnchorsNumbersAndLiteralsAreRead(t *testing.T) {
	t.Parallel()
	c := config(t, `
platform: {graph_url: simulator, app_id: 17841400000000001}
data_dir: |-
  ./here
retention: {inbound_bytes: 2GiB, log: 0}
apps:
  - {id: "7", secret: &s shared, fields: &f [messages, messaging_handover]}
  - {id: "8", secret: *s, fields: *f}
`)
	if c.Platform.AppID != "17841400000000001" || c.DataDir != "./here" || c.Retention.InboundBytes != 2<<30 {
		t.Errorf("%+v", c)
	}
	if c.Apps[1].Secret.Value() != "shared" || len(c.Apps[1].Fields) != 2 {
		t.Errorf("%+v", c.Apps[1])
	}
}

func TestShortRetentionIsWorthAWarning(t *testing.T) {
	t.Parallel()
	c := config(t, "platform: {graph_url: simulator}\nretention: {inbound: 1h}\napps: [{id: \"7\", secret: s}]\n")
	if diff := cmp.Diff([]string{"retention.inbound 1h is below the longest retry_for 36h, which counts instead"}, c.Warnings); diff != "" {
		t.Error(diff)
	}
	if c.LongestRetry() != 36*time.Hour {
		t.Errorf("%s", c.LongestRetry())
	}
}

func TestSecretsFromFiles(t *testing.T) {
	t.Parallel()
	read := func(name string) ([]byte, error) {
		switch name {
		case "/run/secret":
			return []byte("from-file\n"), nil
		case "/run/empty":
			return []byte("\n"), nil
		}
		return nil, fs.ErrNotExist
	}
	load := func(ref string) (Config, error) {
		return Load(Source{Name: "f", ReadFile: read, Data: []byte("platform: {graph_url: simulator}\napps: [{id: \"7\", secret: \"file:" + ref + "\"}]\n")})
	}
	c, err := load("/run/secret")
	if err != nil || c.Apps[0].Secret.Value() != "from-file" {
		t.Errorf("%v %v", err, c.Apps)
	}
	for ref, want := range map[string]string{"/run/empty": "is empty", "/run/none": "file does not exist"} {
		if _, err := load(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestSecretsHideInLogsAndFormats(t *testing.T) {
	t.Parallel()
	s := NewSecret("open-sesame")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%#v %v %s", s, s, s), log.String()} {
		if strings.Contains(text, "sesame") {
			t.Errorf("%s shows it", text)
		}
	}
}

func TestApplyFileNeedsOnlyAppsAndPages(t *testing.T) {
	t.Parallel()
	file := []byte("listen: {admin: \"0.0.0.0:1\"}\nplatform: {app_secret: env:NONE}\napps: [{id: \"7\", secret: s}]\npages: [{id: \"1\", apps: [{app: \"7\", access_token: T}]}]\n")
	c, err := Load(Source{Name: "f", Data: file, RosterOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	before := must(t)(document(t).SetProfile(acme, faqApp, "get_started", []byte(`{"payload":"GO"}`)))
	next, err := Proposal(c).Succeed(before)
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Apps) != 1 || next.BatonApp != before.BatonApp || next.FileDigest != before.FileDigest {
		t.Errorf("%+v", next)
	}
	if _, applied := FromConfig(c, next); applied {
		t.Error("the file just applied counts as another")
	}
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "baton.yaml")
	_, err := LoadFile(name, nil, nil)
	if _, ok := errors.AsType[Faults](err); !ok {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(name, []byte("platform: {graph_url: simulator}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := LoadFile(name, []string{"BATON_PARTITIONS=8"}, nil)
	if err != nil || c.Partitions != 8 {
		t.Errorf("%v %d", err, c.Partitions)
	}
}

func TestHostileNestingIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("[", 5000), strings.Repeat("- ", 5000), strings.Repeat("a:\n ", 1), strings.Repeat("{a: ", 5000)} {
		if _, err := Load(Source{Name: "f", Data: []byte(text)}); err == nil {
			t.Errorf("%.20s is accepted", text)
		}
	}
	if _, err := Load(Source{Name: "f", Data: make([]byte, maxFileBytes+1)}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

func TestAppsAndPagesAreAddedAtRunTime(t *testing.T) {
	t.Parallel()
	d := document(t)
	app := defaultApp()
	app.ID, app.Secret = "700000000000003", NewSecret("s3")
	d = must(t)(d.PutApp(app))
	page := defaultPage()
	page.ID, page.Apps = "5", []Connection{{App: app.ID, Tokens: []TokenHash{HashToken("T5")}}}
	d = must(t)(d.PutPage(page))
	page.Name = "renamed"
	d = must(t)(d.PutPage(page))
	s := compile(t, d)
	if c, ok := s.Caller("T5"); !ok || c.Asset.Name != "renamed" || c.App.Number != 700000000000003 {
		t.Errorf("%v", c)
	}
	if a, ok := s.Asset(5); !ok || a.Node() != 5 {
		t.Error("node")
	}
	if _, ok := s.App(700000000000003); !ok || len(s.Apps()) != 3 || s.LongestRetry() != 36*time.Hour || s.BatonApp() != 700000000009999 {
		t.Error("apps")
	}
	d = must(t)(must(t)(d.RemovePage("5")).RemoveApp(app.ID))
	if len(d.Apps) != 2 {
		t.Errorf("%d apps", len(d.Apps))
	}
}
