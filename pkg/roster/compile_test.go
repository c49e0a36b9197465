package roster

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
)

func compile(t *testing.T, d Document) *Snapshot {
	t.Helper()
	s, err := Compile(d, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCompiledRules(t *testing.T) {
	t.Parallel()
	s := compile(t, document(t))
	want := &control.Page{
		Asset: 100200300400500, Mode: control.ModeHandover, Lead: 700000000000001,
		Apps: map[control.AppID]control.App{
			700000000000001: {},
			700000000000002: {CanTake: true, HumanAgent: true, Development: true, Testers: map[uint64]struct{}{9001: {}}},
		},
		Links: map[string]control.AppID{}, Ads: map[string]control.Ad{}, Menu: map[uint64]control.AppID{},
		Expiry: control.Day, BatonApp: 700000000009999, OwnerSendExtends: true,
	}
	if diff := cmp.Diff(want, s.Page(100200300400500)); diff != "" {
		t.Error(diff)
	}
	if s.Page(1) != nil || s.Version() != 7 {
		t.Error("unknown page or wrong version")
	}
	if diff := cmp.Diff([]uint64{100200300400500, 17841400000000001}, s.Assets()); diff != "" {
		t.Error(diff)
	}
}

func TestModesAndTheirDefaults(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, c := range map[string]struct {
		routing Routing
		mode    control.Mode
		lead    control.AppID
		idle    control.Channel
		extends bool
	}{
		"handover":           {Routing{Mode: ModeHandover, Primary: faqApp}, control.ModeHandover, 700000000000001, control.ChannelStandby, true},
		"handover, no lead":  {Routing{Mode: ModeHandover}, control.ModeHandover, 0, control.ChannelStandby, true},
		"handover, switched": {Routing{Mode: ModeHandover, IdleChannel: "messaging", OwnerSendExtends: &no}, control.ModeHandover, 0, control.ChannelMessaging, false},
		"zero config":        {Routing{Mode: ModeConversationRouting}, control.ModeZeroConfig, 0, control.ChannelMessaging, false},
		"zero config, quiet": {Routing{Mode: ModeConversationRouting, IdleChannel: "standby"}, control.ModeZeroConfig, 0, control.ChannelStandby, false},
		"default app":        {Routing{Mode: ModeConversationRouting, DefaultApp: faqApp, OwnerSendExtends: &yes}, control.ModeDefaultApp, 700000000000001, control.ChannelStandby, true},
		"default inbox":      {Routing{Mode: ModeConversationRouting, DefaultApp: "263902037430900"}, control.ModeDefaultApp, control.PageInbox, control.ChannelStandby, false},
	} {
		d := must(t)(document(t).ChangePage(acme, func(p *Page) error {
			c.routing.Expiry = p.Routing.Expiry
			p.Routing = c.routing
			return nil
		}))
		p := compile(t, d).Page(100200300400500)
		if p.Mode != c.mode || p.Lead != c.lead || p.IdleChannel != c.idle || p.OwnerSendExtends != c.extends {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestDisconnectedAppDoesNotCount(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).Disconnect(acme, faqApp))
	s := compile(t, d)
	p := s.Page(100200300400500)
	if p.Lead != 0 || p.Connected(700000000000001) {
		t.Errorf("lead %d, connected %t", p.Lead, p.Connected(700000000000001))
	}
	c, ok := s.Caller("T1")
	if !ok || c.Connected {
		t.Error("its token must stay valid, to connect again")
	}
	d = must(t)(d.Connect(acme, faqApp, []string{"standby"}))
	if p := compile(t, d).Page(100200300400500); p.Lead != 700000000000001 {
		t.Error("not connected again")
	}
}

func TestReceiversHaveTheFieldsOfBothLevels(t *testing.T) {
	t.Parallel()
	d := must(t)(document(t).ChangeApp(faqApp, func(a *App) error {
		a.Fields = []string{"messages", "message_reads", "standby"}
		a.Compat.EmptyMessaging = true
		return nil
	}))
	d = must(t)(d.Connect(acme, faqApp, []string{"standby", "messaging_seen", "feed"}))
	d = must(t)(d.Disconnect(acme, agentApp))
	want := []delivery.Receiver{{
		App: 700000000000001, Fields: delivery.Fields(delivery.FieldMessageReads, delivery.FieldStandby), EmptyMessaging: true,
	}}
	s := compile(t, d)
	if diff := cmp.Diff(want, s.Delivery(100200300400500).Receivers); diff != "" {
		t.Error(diff)
	}
	if s.Delivery(1) != nil || s.Delivery(100200300400500).Rules != s.Page(100200300400500) {
		t.Error("rules")
	}
}

func TestCallersAreFoundByToken(t *testing.T) {
	t.Parallel()
	s := compile(t, document(t))
	c, ok := s.Caller("T2b")
	if !ok || c.App.Number != 700000000000002 || c.Asset.ID != 100200300400500 || !c.Connected {
		t.Fatalf("%+v %t", c, ok)
	}
	if !c.HasTask(TaskMessaging) || c.HasTask(TaskModerate) || c.HasPermission(PermissionPagesMessaging) {
		t.Error("tasks or permissions")
	}
	if c, _ := s.Caller("T3"); c.MessagingPermission() != PermissionInstagramMessages || !c.HasPermission(PermissionInstagramMessages) {
		t.Error("Instagram permission")
	}
	for _, token := range []string{"", "t1", "T1 "} {
		if _, ok := s.Caller(token); ok {
			t.Errorf("%q is a token", token)
		}
	}
}

func TestLinkedPageNamesTheAccount(t *testing.T) {
	t.Parallel()
	a, _ := compile(t, document(t)).Asset(17841400000000001)
	if !a.Named(17841400000000001) || !a.Named(100200300400500) || a.Named(0) || a.Named(5) {
		t.Error("nodes")
	}
	if a.Rules.Ads["6001"] != (control.Ad{App: 700000000000001, Days: 4}) {
		t.Error("ads")
	}
}

func TestProofFitsTheVectorAndThePreviousSecret(t *testing.T) {
	t.Parallel()
	const proof = "88303ff8af15ef60ce2fe78ba5c2180e5b2bed1bf30483c4f1f29bc1ea4f2c85"
	a := &Application{App: App{Secret: NewSecret("baton-test-app-secret")}}
	if !a.ProofFits("EAABatonPageToken001", proof) || a.ProofFits("other", proof) || a.ProofFits("EAABatonPageToken001", "zz") {
		t.Error("the protocol's vector")
	}
	a.Secret, a.PreviousSecret = NewSecret("new"), a.Secret
	if !a.ProofFits("EAABatonPageToken001", proof) {
		t.Error("the previous secret still proves")
	}
}

func TestMenusBelongToTheLastWriter(t *testing.T) {
	t.Parallel()
	menu := json.RawMessage(`[{"locale":"default","call_to_actions":[{"type":"postback","title":"x","payload":"CARE"},{"type":"nested","call_to_actions":[{"payload":"DEEP"}]}]}]`)
	d := must(t)(document(t).SetProfile(acme, faqApp, "persistent_menu", menu))
	d = must(t)(d.SetProfile(acme, agentApp, "get_started", json.RawMessage(`{"payload":"CARE"}`)))
	p := compile(t, d).Page(100200300400500)
	want := map[uint64]control.AppID{control.PayloadHash("CARE"): 700000000000002, control.PayloadHash("DEEP"): 700000000000001}
	if diff := cmp.Diff(want, p.Menu); diff != "" || p.GetStarted != control.PayloadHash("CARE") {
		t.Error(diff, p.GetStarted)
	}
	d = must(t)(d.ClearProfile(acme, "get_started"))
	if p := compile(t, d).Page(100200300400500); p.GetStarted != 0 || p.Menu[control.PayloadHash("CARE")] != 700000000000001 {
		t.Error("the menu's own payload is lost")
	}
}

func TestCompileRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Document{
		"app":        {Apps: []App{{ID: "x"}}},
		"page":       {Pages: []Page{{ID: "0"}}},
		"connection": {Pages: []Page{{ID: "1", Apps: []Connection{{App: "2"}}}}},
		"primary":    {Pages: []Page{{ID: "1", Routing: Routing{Primary: "1e3"}}}},
	} {
		if _, err := Compile(d, 1); err == nil {
			t.Errorf("%s compiles", name)
		}
	}
}

func BenchmarkCaller(b *testing.B) {
	d, _ := FromConfig(Config{
		Apps: []App{{ID: faqApp}}, Pages: []Page{{ID: acme, Apps: []Connection{{App: faqApp, AccessToken: NewSecret("T1")}}}},
	}, Document{})
	s, err := Compile(d, 1)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok := s.Caller("T1"); !ok {
			b.Fatal("lost")
		}
	}
}
