package roster

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	faqApp   = "700000000000001"
	agentApp = "700000000000002"
	acme     = "100200300400500"
	insta    = "17841400000000001"
)

// twoApps is a configuration with two apps on a Page and one of them on its
// Instagram account.
const twoApps = `
platform: {graph_url: simulator}
apps:
  - {id: "700000000000001", name: faq, secret: s1, fields: [messages]}
  - {id: "700000000000002", name: agent, secret: s2, status: development, testers: ["9001"], features: [human_agent]}
pages:
  - id: "100200300400500"
    routing: {mode: handover, primary: "700000000000001", can_take: ["700000000000002"]}
    apps:
      - {app: "700000000000001", access_token: T1}
      - {app: "700000000000002", access_token: T2, access_tokens: [T2b], tasks: [MESSAGING], permissions: []}
  - id: "17841400000000001"
    object: instagram
    linked_page: "100200300400500"
    routing: {mode: conversation_routing, ads: {"6001": {app: "700000000000001", days: 4}}}
    apps: [{app: "700000000000001", access_token: T3}]
`

func config(t *testing.T, yaml string) Config {
	t.Helper()
	c, err := Load(Source{Name: "baton.yaml", Data: []byte(yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func document(t *testing.T) Document {
	t.Helper()
	d, applied := FromConfig(config(t, twoApps), Document{})
	if !applied {
		t.Fatal("a first file is not applied")
	}
	return d
}

func must(t *testing.T) func(Document, error) Document {
	t.Helper()
	return func(d Document, err error) Document {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func TestDocumentSurvivesStorage(t *testing.T) {
	t.Parallel()
	d := document(t)
	data, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"T1", "T2b"} {
		if strings.Contains(string(data), `"`+token+`"`) {
			t.Errorf("token %s is stored", token)
		}
	}
	back, err := ParseDocument(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, back); diff != "" {
		t.Error(diff)
	}
	if back.Apps[0].Secret.Value() != "s1" {
		t.Error("the secret that signs is lost")
	}
}

func TestStoredDocumentsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]error{`{"format":2}`: ErrNewerFormat, `{}`: ErrDocument, `[`: ErrDocument} {
		if _, err := ParseDocument([]byte(data)); !errors.Is(err, want) {
			t.Errorf("%s: %v", data, err)
		}
	}
	if _, err := ParseDocument(nil); err != nil {
		t.Error(err)
	}
}

func TestUnchangedFileLeavesRunTimeChangesAlone(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).SetPrimary(acme, agentApp))
	next, applied := FromConfig(config(t, "# a comment\n"+twoApps), d)
	if applied || next.Pages[0].Routing.Primary != agentApp {
		t.Errorf("applied %t, primary %s", applied, next.Pages[0].Routing.Primary)
	}
	changed := strings.Replace(twoApps, "name: faq", "name: bot", 1)
	next, applied = FromConfig(config(t, changed), d)
	if !applied || next.Pages[0].Routing.Primary != faqApp {
		t.Errorf("changed file: applied %t, primary %s", applied, next.Pages[0].Routing.Primary)
	}
}

func TestRotatedSecretIsAChange(t *testing.T) {
	t.Parallel()
	load := func(secret string) Config {
		c, err := Load(Source{Data: []byte(strings.Replace(twoApps, "secret: s1", "secret: env:S", 1)), Environ: []string{"S=" + secret}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	d, _ := FromConfig(load("one"), Document{})
	if _, applied := FromConfig(load("two"), d); !applied {
		t.Error("the new secret is not applied")
	}
}

func TestApplyKeepsProfilesAndRevocations(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).SetProfile(acme, faqApp, "get_started", json.RawMessage(`{"payload":"GO"}`)))
	d = must(t)(d.RevokeToken(HashToken("T2")))
	next := Replace(config(t, twoApps), d)
	if len(next.Pages[0].Profile) != 1 {
		t.Error("the profile is lost")
	}
	s, err := Compile(next, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Caller("T2"); ok {
		t.Error("a revoked token is valid again")
	}
	if _, ok := s.Caller("T2b"); !ok {
		t.Error("the other token is gone")
	}
	if _, err := next.AddToken(acme, agentApp, HashToken("T2")); !errors.Is(err, ErrInvalid) {
		t.Errorf("adding a revoked token: %v", err)
	}
}

func TestEditsLeaveTheOldVersionAlone(t *testing.T) {
	t.Parallel()
	d := document(t)
	before, _ := d.Encode()
	must(t)(d.Connect(acme, agentApp, []string{"standby"}))
	must(t)(d.Disconnect(acme, faqApp))
	must(t)(d.AddToken(acme, faqApp, HashToken("new")))
	must(t)(d.RevokeToken(HashToken("T1")))
	must(t)(d.SetProfile(acme, faqApp, "persistent_menu", json.RawMessage(`[]`)))
	must(t)(d.ChangeApp(faqApp, func(a *App) error { a.Fields[0] = "standby"; return nil }))
	must(t)(d.ChangePage(insta, func(p *Page) error { p.Routing.Ads["1"] = AdRoute{App: faqApp, Days: 1}; return nil }))
	must(t)(d.RemovePage(insta))
	must(t)(must(t)(d.RevokeToken(HashToken("T1"))).SetPrimary(acme, agentApp)) // an app may be left without token
	after, _ := d.Encode()
	if diff := cmp.Diff(string(before), string(after)); diff != "" {
		t.Error(diff)
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	t.Parallel()
	d := document(t)
	fail := func(name string, want error) func(Document, error) {
		return func(_ Document, err error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	fail("unknown page", ErrUnknownPage)(d.Connect("1", faqApp, nil))
	fail("unconnected app", ErrNotConnected)(d.Connect(insta, agentApp, nil))
	fail("unknown app", ErrUnknownApp)(d.RemoveApp("3"))
	fail("primary still named", ErrInvalid)(d.RemoveApp(faqApp))
	fail("unconnected primary", ErrInvalid)(d.SetPrimary(acme, "700000000000009"))
	fail("inbox as primary", ErrInvalid)(d.SetPrimary(acme, "263902037430900"))
	fail("unknown field", ErrInvalid)(d.Connect(acme, faqApp, []string{"nonsense"}))
	fail("foreign token", ErrInvalid)(d.AddToken(insta, faqApp, HashToken("T2")))
	fail("unknown token", ErrUnknownToken)(d.RevokeToken(HashToken("T9")))
	fail("not JSON", ErrInvalid)(d.SetProfile(acme, faqApp, "greeting", json.RawMessage(`{`)))
}

func TestDifferencesHideSecrets(t *testing.T) {
	t.Parallel()
	d := document(t)
	next := must(t)(d.ChangeApp(faqApp, func(a *App) error { a.Secret = NewSecret("rotated"); a.Name = "bot"; return nil }))
	next = must(t)(next.SetPrimary(acme, ""))
	var lines []string
	for _, diff := range Compare(d, next) {
		lines = append(lines, diff.String())
	}
	want := []string{
		"~ apps[700000000000001].name: faq -> bot",
		"~ apps[700000000000001].secret: (hidden) -> (hidden)",
		"- pages[100200300400500].routing.primary: 700000000000001",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if len(Compare(d, d)) != 0 {
		t.Error("a document differs from itself")
	}
}
