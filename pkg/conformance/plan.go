package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// app is a fake app.
type app struct {
	letter, id          string
	secret, verifyToken string
	settings            AppSettings
	testers             []string
}

// page is a page of the server with the apps that are connected.
type page struct {
	id, token string
	mode      Mode
	settings  Settings
	apps      map[string]*app
	tokens    map[string]string // what each app presents
}

func (p *page) object() string {
	if p.settings.Object == "instagram" {
		return p.settings.Object
	}
	return "page"
}

func (p *page) lead() string {
	if p.settings.Lead != "" {
		return p.settings.Lead
	}
	return p.mode.lead()
}

// connected are the letters of the connected apps, in order.
func (p *page) connected() []string { return slices.Sorted(maps.Keys(p.tokens)) }

// trial is a vector in one mode, on a page and with a person of its own.
type trial struct {
	vector *Vector
	mode   Mode
	page   *page
	person uint64
	// lacking says why the server cannot be put to this trial; "" when it can.
	lacking string
}

// plan is what is to be tried, on what.
type plan struct {
	trials []*trial
	apps   []*app
	pages  []*page
	// first of the ids of this run's pages and persons, so that a second run
	// meets other threads.
	base    uint64
	byApp   map[string]*app
	byPage  map[string]*page
	counter uint64
}

// Filter selects vectors; the zero value selects all.
type Filter struct {
	// Row is a row's number (all its variants) or its whole name.
	Row string
	// Story is a story's name.
	Story string
	// Mode is one of the modes.
	Mode Mode
}

func (f Filter) selects(v *Vector, mode Mode) bool {
	if f.Mode != "" && f.Mode != mode {
		return false
	}
	switch {
	case f.Row == "" && f.Story == "":
		return true
	case f.Row != "" && v.Row != "":
		return f.Row == v.Row || f.Row == v.Number()
	}
	return f.Story != "" && f.Story == v.Story
}

// Matches reports whether the filter selects anything.
func (f Filter) Matches(vectors []Vector) bool {
	for i := range vectors {
		for _, mode := range vectors[i].In {
			if f.selects(&vectors[i], mode) {
				return true
			}
		}
	}
	return false
}

// newPlan lays out the trials of the vectors on the pages of the server, or for
// a Baton on pages made for them.
func newPlan(vectors []Vector, filter Filter, server *Server, now time.Time) *plan {
	p := &plan{base: uint64(now.UnixMilli()) * 10_000, byApp: map[string]*app{}, byPage: map[string]*page{}}
	for i := range vectors {
		v := &vectors[i]
		for _, mode := range v.In {
			if !filter.selects(v, mode) {
				continue
			}
			p.counter++
			t := &trial{vector: v, mode: mode, person: p.base + p.counter}
			if server.Baton.Admin != "" {
				p.settle(t)
			} else {
				p.find(t, server)
			}
			p.trials = append(p.trials, t)
		}
	}
	return p
}

// settle gives a trial a page: one that others share when nothing that the
// vector does concerns the page itself.
func (p *plan) settle(t *trial) {
	settings := t.vector.Page
	key := string(t.mode) + text(settings)
	if t.vector.changesPage() {
		key += fmt.Sprint(t.person)
	}
	if t.page = p.byPage[key]; t.page != nil {
		return
	}
	pg := &page{
		id: fmt.Sprint(p.base + 5_000 + uint64(len(p.pages))), mode: t.mode, settings: settings,
		apps: map[string]*app{}, tokens: map[string]string{},
	}
	pg.token = "page-" + pg.id
	for letter := range strings.FieldsSeq(connectedLetters) {
		p.connect(pg, letter, t)
	}
	for letter := range settings.Apps {
		p.connect(pg, letter, t)
	}
	p.stranger("D")
	p.byPage[key] = pg
	p.pages = append(p.pages, pg)
	t.page = pg
}

func (p *plan) connect(pg *page, letter string, t *trial) {
	settings := pg.settings.Apps[letter]
	if letter == "H" {
		settings.HumanAgent = true
	}
	var testers []string
	key := letter + text(settings)
	if settings.Tester {
		testers = []string{fmt.Sprint(t.person)}
		key += testers[0]
	}
	a := p.byApp[key]
	if a == nil {
		a = p.newApp(letter, settings, testers)
		p.byApp[key] = a
	}
	pg.apps[letter] = a
	pg.tokens[letter] = "token-" + letter + "-" + pg.id
}

// newApp makes an app: the plain one of a letter has the id that the documents
// of Baton give it, variants have ids of their own.
func (p *plan) newApp(letter string, settings AppSettings, testers []string) *app {
	id := 700_000_000_000_001 + uint64(strings.Index("ABCTHVDF", letter)) + uint64(len(p.apps))*100
	a := &app{
		letter: letter, id: fmt.Sprint(id), secret: "secret of " + fmt.Sprint(id), verifyToken: "verify-" + fmt.Sprint(id),
		settings: settings, testers: testers,
	}
	p.apps = append(p.apps, a)
	return a
}

// stranger makes sure that an app exists that no page needs to be connected to.
func (p *plan) stranger(letter string) *app {
	if p.byApp[letter] == nil {
		p.byApp[letter] = p.newApp(letter, AppSettings{}, nil)
	}
	return p.byApp[letter]
}

// find looks for a page of a server that is not Baton on which the trial can
// take place.
func (p *plan) find(t *trial, server *Server) {
	for _, f := range server.Pages {
		if f.Mode != t.mode || text(f.Settings) != text(t.vector.Page) {
			continue
		}
		if t.page = p.byPage[f.ID]; t.page == nil {
			t.page = p.foreign(f, server)
		}
	}
	switch {
	case t.vector.waits():
		t.lacking = "needs clock"
	case t.vector.needsSteward():
		t.lacking = "needs Baton's admin listener"
	case t.page == nil:
		t.lacking = "needs a page that is set up for it"
	}
}

func (p *plan) foreign(f ForeignPage, server *Server) *page {
	pg := &page{id: f.ID, mode: f.Mode, settings: f.Settings, apps: map[string]*app{}, tokens: f.Tokens}
	for letter, described := range server.Apps {
		a := p.byApp[letter]
		if a == nil {
			a = &app{letter: letter, id: described.ID, secret: described.Secret, verifyToken: described.VerifyToken}
			p.byApp[letter] = a
			p.apps = append(p.apps, a)
		}
		pg.apps[letter] = a
	}
	p.byPage[f.ID] = pg
	p.pages = append(p.pages, pg)
	return pg
}

// changesPage reports whether a step concerns the page and not only the thread.
func (v *Vector) changesPage() bool {
	for _, a := range v.Page.Apps {
		if a.Tester {
			return true
		}
	}
	return v.any(func(s *Step) bool {
		return s.Lead != "" || s.Platform != "" || oneOf("page_menu get_started subscribe unsubscribe", s.Call)
	})
}

func (v *Vector) waits() bool { return v.any(func(s *Step) bool { return s.Wait != 0 }) }

// changesRoster reports whether a step needs the roster to be applied anew.
func (v *Vector) changesRoster() bool { return v.any(func(s *Step) bool { return s.Lead != "" }) }

func (v *Vector) needsSteward() bool {
	return v.any(func(s *Step) bool { return s.Lead != "" || s.Platform != "" })
}

func (v *Vector) any(is func(*Step) bool) bool {
	for _, list := range [][]Step{v.Given, v.When} {
		for i := range list {
			if is(&list[i]) {
				return true
			}
		}
	}
	return false
}

// isID reports whether text is a decimal id.
func isID(text string) bool {
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && n > 0 && text[0] != '0'
}

// fields are what the fake apps subscribe to.
const fields = "messages message_echoes message_edits message_deliveries message_reads message_reactions messaging_postbacks " +
	"messaging_referrals messaging_optins messaging_account_linking messaging_handovers messaging_feedback " +
	"messaging_policy_enforcement response_feedback send_cart standby"

func fieldsWithout(without []string) []string {
	return slices.DeleteFunc(strings.Fields(fields), func(f string) bool { return slices.Contains(without, f) })
}

// roster is the plan's apps and pages as a configuration file of Baton; JSON is
// YAML.
func (p *plan) roster(callback func(id string) string) ([]byte, error) {
	apps, pages := []any{}, []any{}
	for _, a := range p.apps {
		entry := map[string]any{
			"id": a.id, "name": a.letter + "-" + a.id, "secret": a.secret, "callback_url": callback(a.id),
			"verify_token": a.verifyToken, "fields": strings.Fields(fields), "status": "live", "testers": a.testers,
			"compat":   map[string]any{"standby_extended": a.settings.StandbyExtended},
			"delivery": map[string]any{"max_in_flight": 16, "timeout": "20s"},
		}
		if a.settings.HumanAgent {
			entry["features"] = []string{"human_agent"}
		}
		if a.settings.Development || a.settings.Tester {
			entry["status"] = "development"
		}
		apps = append(apps, entry)
	}
	for _, pg := range p.pages {
		pages = append(pages, p.pageEntry(pg))
	}
	return json.MarshalIndent(map[string]any{"apps": apps, "pages": pages}, "", " ")
}

func (p *plan) pageEntry(pg *page) map[string]any {
	var connections []any
	for _, letter := range slices.Sorted(maps.Keys(pg.tokens)) {
		c := map[string]any{"app": pg.apps[letter].id, "access_token": pg.tokens[letter]}
		if without := pg.settings.Without[letter]; without != nil {
			c["fields"] = fieldsWithout(without)
		}
		connections = append(connections, c)
	}
	return map[string]any{
		"id": pg.id, "object": pg.object(), "name": "conformance " + string(pg.mode), "access_token": pg.token,
		"routing": p.routing(pg), "apps": connections,
	}
}

func (p *plan) routing(pg *page) map[string]any {
	id := func(letter string) string { return p.partyID(pg, letter) }
	r := map[string]any{"mode": "handover"}
	switch {
	case pg.mode == ZeroConfig:
		r["mode"] = "conversation_routing"
	case pg.mode == DefaultApp:
		r["mode"], r["default_app"], r["can_take"] = "conversation_routing", id(pg.lead()), []string{id("T"), id("H")}
	case pg.lead() != "":
		r["primary"] = id(pg.lead())
	}
	if pg.settings.Social != "" {
		r["social_app"] = id(pg.settings.Social)
	}
	links, ads := map[string]any{}, map[string]any{}
	for ref, letter := range pg.settings.Links {
		links[ref] = id(letter)
	}
	for ad, to := range pg.settings.Ads {
		ads[ad] = map[string]any{"app": id(to.App), "days": to.Days}
	}
	r["links"], r["ads"] = links, ads
	for _, name := range pg.settings.Switches {
		if name == "idle_send_owner_only" {
			r["idle_send"] = "owner_only"
			continue
		}
		r[name] = true
	}
	return r
}

// Inbox ids, and the id of an app that no server knows.
const (
	pageInbox      = "263902037430900"
	pageInboxShort = "26390203743090"
	instagramInbox = "1217981644879628"
	foreignApp     = "700000000009998"
)

// partyID is the id of a letter on a page.
func (p *plan) partyID(pg *page, letter string) string {
	switch letter {
	case "X":
		if pg.object() == "instagram" {
			return instagramInbox
		}
		return pageInbox
	case "XI":
		return instagramInbox
	case "XS":
		return pageInboxShort
	case "F":
		return foreignApp
	}
	if a := pg.apps[letter]; a != nil {
		return a.id
	}
	return p.stranger(letter).id
}
