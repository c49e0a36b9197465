package graphapi

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/roster"
)

const (
	menuA = `[{"locale":"default","call_to_actions":[{"type":"postback","title":"Help","payload":"HELP"}]}]`
	done  = `{"result":"success"}`
)

// menuOf is who made what a person may tap on the Page.
func (w *world) menuOf(payload string) control.AppID {
	return w.snapshot.Load().Page(100200300400500).Menu[control.PayloadHash(payload)]
}

// refuses lets the platform refuse from now on.
func (w *world) refuses(status int, body string) {
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Page-Usage", `{"call_count":7}`)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	})
}

func TestProfileIsForwardedAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.is(w.post("messenger_profile", "TA", `{"persistent_menu":`+menuA+`,"get_started":{"payload":"GO"},"greeting":[{"locale":"default","text":"Hi"}],`+
		`"ice_breakers":[{"question":"Open?","payload":"HOURS"}],"account_linking_url":"https://x.test/l","id":"ignored"}`), done)
	calls := w.platform.calls()
	if len(calls) != 1 || calls[0].method != "POST" || calls[0].path != "/"+acme+"/messenger_profile" || calls[0].token != "PAGE" {
		t.Fatalf("forwarded %+v", calls)
	}
	if len(calls[0].fields) != 5 || calls[0].fields["id"] != nil || strings.Contains(calls[0].raw, "TA") {
		t.Errorf("forwarded %s", calls[0].raw)
	}
	for _, payload := range []string{"HELP", "GO", "HOURS"} {
		if owner := w.menuOf(payload); owner != 700000000000001 {
			t.Errorf("%s belongs to %d", payload, owner)
		}
	}
	if page := w.snapshot.Load().Page(100200300400500); page.GetStarted != control.PayloadHash("GO") {
		t.Error("no get-started payload")
	}
	// A tap gives control to the creator, whoever had it.
	state := control.State{Owner: 700000000000002, ExpiresAt: 1 << 50}
	events, _ := control.Decide(state, control.Env{Now: 2000, Position: 5, Page: w.snapshot.Load().Page(100200300400500), Person: 1},
		control.Webhook{Kind: control.KindPostback, At: 2000, Payload: control.PayloadHash("HELP")})
	for _, e := range events {
		state = control.Evolve(state, e)
	}
	if state.Owner != 700000000000001 {
		t.Errorf("after the tap %d owns, by %+v", state.Owner, events)
	}
	w.is(w.call(http.MethodDelete, "/me/messenger_profile?access_token=TA", "application/json", `{"fields":["persistent_menu","ice_breakers"]}`), done)
	if w.menuOf("HELP") != 0 || w.menuOf("HOURS") != 0 || w.menuOf("GO") == 0 {
		t.Error("the wrong properties are gone")
	}
	if last := w.platform.calls()[1]; last.method != "DELETE" || last.raw != `{"fields":["persistent_menu","ice_breakers"]}` {
		t.Errorf("forwarded %+v", last)
	}
}

func TestOnlyThePrimarySetsTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot.Load()
	e := w.refused(w.post("messenger_profile", "TB", `{"get_started":{"payload":"GO"}}`), 10, 0)
	if e.Error.Message != "(#10) Application does not have permission for this action" || !strings.Contains(e.Error.Data, "PAGE_MENU_NOT_PRIMARY") {
		t.Errorf("%+v", e)
	}
	w.refused(w.call(http.MethodDelete, "/me/messenger_profile?access_token=TB&fields=get_started", "", ""), 10, 0)
	w.refused(w.post("messenger_profile", "TD", `{"get_started":{"payload":"GO"}}`), 200, 0)
	w.refused(w.post("messenger_profile", "TA", `{"get_started":{}}`), 100, 0)
	w.refused(w.post("messenger_profile", "TA", `{}`), 100, 0)
	w.refused(w.post("messenger_profile", "TA", `{"get_started":{"payload":"GO"},"platform":"telegram"}`), 100, 0)
	w.refused(w.post("messenger_profile", "TA", `{"get_started":{"payload":"GO"},"platform":"instagram"}`), 100, 2534013)
	w.refused(w.call(http.MethodDelete, "/me/messenger_profile?access_token=TA", "", ""), 100, 0)
	w.refused(w.get("/me/messenger_profile?access_token=TA"), 100, 0)
	if len(w.platform.calls()) != 0 || w.snapshot.Load() != before {
		t.Error("something has changed")
	}
	w.is(w.post("messenger_profile", "ZB", `{"get_started":{"payload":"GO"}}`), done) // no primary: any app
}

func TestRefusedProfileChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot.Load()
	const refusal = `{"error":{"message":"(#100) You must set a Get Started button","type":"OAuthException","code":100,"error_subcode":2018145,"fbtrace_id":"X"}}`
	w.refuses(400, refusal)
	g := w.post("messenger_profile", "TA", `{"persistent_menu":`+menuA+`}`)
	if g.status != 400 || g.body != refusal || g.header.Get("X-Page-Usage") != `{"call_count":7}` {
		t.Errorf("%d %s %v", g.status, g.body, g.header)
	}
	w.refuses(500, `oops`)
	w.refused(w.post("messenger_profile", "TA", `{"persistent_menu":`+menuA+`}`), 2, 0)
	w.platform.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w.service.config.PassWithin = 50 * time.Millisecond
	if g := w.post("messenger_profile", "TA", `{"persistent_menu":`+menuA+`}`); g.status != 400 {
		t.Errorf("%d %s", g.status, g.body)
	}
	if w.snapshot.Load() != before {
		t.Error("the roster has changed")
	}
}

func TestProfileOfInstagram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.is(w.post("messenger_profile", "IA", `{"ice_breakers":[{"question":"Open?","payload":"HOURS"}]}`), done)
	w.is(w.call(http.MethodPost, "/"+acme+"/messenger_profile?platform=instagram&access_token=IA", "application/json", `{"persistent_menu":`+menuA+`}`), done)
	w.refused(w.post("messenger_profile", "IA", `{"persistent_menu":`+menuA+`,"platform":"messenger"}`), 100, 0)
	w.ok(w.get("/me/messenger_profile?fields=ice_breakers,%20persistent_menu&access_token=IA"))
	calls := w.platform.calls()
	for i, c := range calls[:2] {
		if c.path != "/"+acme+"/messenger_profile" || c.token != "IGPAGE" || c.fields["platform"] != "instagram" {
			t.Errorf("call %d: %+v", i, c)
		}
	}
	if q := calls[2].query; q.Get("fields") != "ice_breakers,persistent_menu" || q.Get("platform") != "instagram" || calls[2].method != "GET" {
		t.Errorf("asked with %v", q)
	}
	rules := w.snapshot.Load().Page(17841400000000001)
	if rules.Menu[control.PayloadHash("HOURS")] != 700000000000001 || w.menuOf("HOURS") != 0 {
		t.Error("the menu is kept at the wrong asset")
	}
}

func TestRevokedWhileWaitingForItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, leave := make(chan struct{}), make(chan struct{})
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-leave
		_, _ = io.WriteString(rw, done)
	})
	answers := make(chan got, 2)
	post := func() { answers <- w.post("messenger_profile", "TA", `{"get_started":{"payload":"GO"}}`) }
	go post()
	<-arrived
	c := &call{token: "TA", snapshot: w.snapshot.Load()}
	c.caller, _ = c.snapshot.Caller("TA")
	d, err := c.snapshot.Document().RevokeToken(roster.HashToken("TA"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := roster.Compile(d, c.snapshot.Version()+1)
	if err != nil {
		t.Fatal(err)
	}
	w.use(s)
	waiting := make(chan error, 1)
	go func() { // it waits behind the call
		_, err := w.service.turn(t.Context(), c, lane{thread: control.ThreadKey{Asset: 100200300400500}})
		waiting <- err
	}()
	close(leave)
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "190") {
		t.Errorf("after the wait: %v", err)
	}
	w.ok(<-answers)
}

func TestUserMenus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := `{"psid":"` + person + `","persistent_menu":` + menuA + `}`
	removal := "/me/custom_user_settings?psid=" + person + `&params=["persistent_menu"]&access_token=`
	w.is(w.post("custom_user_settings", "TB", set), done) // idle: any app
	if last, ok := w.holder.logged()[0].(control.UserMenuSet); !ok || last.App != 700000000000002 ||
		cmp.Diff([]uint64{control.PayloadHash("HELP")}, last.Items) != "" {
		t.Errorf("logged %+v", w.holder.logged())
	}
	sent := w.platform.calls()[0]
	if sent.path != "/"+acme+"/custom_user_settings" || sent.token != "PAGE" || sent.fields["psid"] != person || len(sent.fields) != 2 {
		t.Errorf("forwarded %+v", sent)
	}
	w.ok(w.post("take_thread_control", "TA", `{`+to(person)+`}`))
	before := len(w.holder.logged())
	e := w.refused(w.post("custom_user_settings", "TB", set), 10, 2018336)
	if e.Error.Message != "(#10) User Thread Impact: another app is controlling this thread now." {
		t.Error(e.Error.Message)
	}
	w.refused(w.call(http.MethodDelete, removal+"TB", "", ""), 10, 2018336)
	if len(w.platform.calls()) != 1 || len(w.holder.logged()) != before {
		t.Error("a refused call has changed something")
	}
	w.is(w.call(http.MethodDelete, removal+"TA", "", ""), done)
	if last := w.platform.calls()[1]; last.method != "DELETE" || last.raw != `{"params":["persistent_menu"],"psid":"`+person+`"}` {
		t.Errorf("forwarded %+v", last)
	}
	w.ok(w.get("/me/custom_user_settings?psid=" + person + "&access_token=TB"))
	if last := w.platform.calls()[2]; last.method != "GET" || last.query.Get("psid") != person {
		t.Errorf("forwarded %+v", last)
	}
}

func TestUserMenusRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := `{"psid":"` + person + `","persistent_menu":` + menuA + `}`
	if e := w.refused(w.post("custom_user_settings", "IA", set), 100, 0); e.Error.Message != "(#100) custom_user_settings is not available on Instagram" {
		t.Error(e.Error.Message)
	}
	w.refused(w.post("custom_user_settings", "TA", `{"psid":"x","persistent_menu":`+menuA+`}`), 100, 2018001)
	w.refused(w.post("custom_user_settings", "TA", `{"psid":"1"}`), 100, 0)
	w.refused(w.get("/me/custom_user_settings?access_token=TA"), 100, 0)
	w.refused(w.call(http.MethodDelete, "/me/custom_user_settings?psid=1&access_token=TA", "", ""), 100, 0)
	const refusal = `{"error":{"message":"(#100) No matching user found","type":"OAuthException","code":100,"error_subcode":2018001,"fbtrace_id":"X"}}`
	w.refuses(400, refusal)
	if g := w.post("custom_user_settings", "TA", set); g.body != refusal {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.platform.answers(nil)
	w.holder.faulty(func(*commandv1.Request) (*commandv1.Response, bool) { return nil, true })
	w.service.config.AnswerWithin = 100 * time.Millisecond
	if g := w.post("custom_user_settings", "TA", set); g.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", g.status, g.body)
	}
	if len(w.holder.logged()) != 0 || len(w.platform.calls()) != 1 {
		t.Error("something has changed")
	}
}

func TestUserMenusAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	set := `{"psid":"` + person + `","persistent_menu":` + menuA + `}`
	for range 10 {
		w.is(w.post("custom_user_settings", "TA", set), done)
	}
	g := w.post("custom_user_settings", "TA", set)
	e := w.refused(g, 613, 0)
	if e.Error.Message != "(#613) Calls to this api have exceeded the rate limit." || g.header.Get("Retry-After") == "" {
		t.Errorf("%+v %v", e, g.header)
	}
	w.is(w.post("custom_user_settings", "TA", strings.Replace(set, person, "42", 1)), done)
	if len(w.platform.calls()) != 11 {
		t.Errorf("%d calls forwarded", len(w.platform.calls()))
	}
}

func TestMenuLimitSlides(t *testing.T) {
	t.Parallel()
	l, who, now := newMenuLimit(), control.ThreadKey{Asset: 1, Person: 2}, time.Unix(1_800_000_000, 0)
	for i := range menuCalls {
		if _, ok := l.admit(who, now.Add(time.Duration(i)*time.Minute)); !ok {
			t.Fatalf("call %d is refused", i)
		}
	}
	if wait, ok := l.admit(who, now.Add(9*time.Minute)); ok || wait != 60 {
		t.Errorf("wait %d", wait)
	}
	if _, ok := l.admit(who, now.Add(10*time.Minute)); !ok {
		t.Error("the window does not slide")
	}
	for i := range uint64(menuPersons) {
		l.admit(control.ThreadKey{Asset: 2, Person: i}, now.Add(20*time.Minute))
	}
	for i := range uint64(menuPersons) {
		l.admit(control.ThreadKey{Asset: 3, Person: i}, now.Add(time.Hour))
	}
	if len(l.mu.calls) > menuPersons {
		t.Errorf("%d persons are remembered", len(l.mu.calls))
	}
}

// The platform has the menu then, and the app is told to say so again: that
// changes nothing there and stores it here.
func TestProfileThatCouldNotBeStoredIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.service.deps.Rosters = nil
	g := w.post("messenger_profile", "TA", `{"get_started":{"payload":"GO"}}`)
	if e := w.refused(g, 2, 0); g.status != http.StatusServiceUnavailable || !e.Error.Transient || !strings.Contains(e.Error.Data, "NOT_STORED") {
		t.Errorf("%d %s", g.status, g.body)
	}
	w.service.deps.Rosters = w
	w.is(w.post("messenger_profile", "TA", `{"get_started":{"payload":"GO"}}`), done)
	if len(w.platform.calls()) != 2 || w.menuOf("GO") != 700000000000001 {
		t.Error("the menu is not kept")
	}
}
