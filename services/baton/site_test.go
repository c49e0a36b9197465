package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/services/simulator"
)

// site is a whole Baton in this process with many pages, each of which has the
// same apps and its own routing, a simulated platform, and apps that keep what
// they receive over HTTP.
type site struct {
	t     *testing.T
	node  *node
	apps  map[string]*listener
	pages map[string]uint64
	next  uint64 // of the persons
	marks int
}

// siteApp is an app of a site; extra is more of its configuration.
type siteApp struct{ name, extra string }

// The apps of every site: A leads where there is a lead. N, E and X have a
// compatibility profile each, S wants one signature, H has the human-agent
// feature.
var siteApps = []siteApp{
	{"A", ""},
	{"B", ""},
	{"C", ""},
	{"N", "compat: {numeric_app_ids: true}"},
	{"E", "compat: {empty_messaging: true}"},
	{"X", "compat: {standby_extended: true}"},
	{"S", "compat: {signatures: sha256}"},
	{"H", "features: [human_agent]"},
}

// siteID is an app's id: 700000000000001 for A.
func siteID(name string) control.AppID {
	i := slices.IndexFunc(siteApps, func(a siteApp) bool { return a.name == name })
	if i < 0 {
		return 0
	}
	return control.AppID(700000000000001 + uint64(i))
}

// newSite starts one with the pages' routing by name.
func newSite(t *testing.T, pages map[string]string) *site {
	t.Helper()
	s := &site{t: t, apps: map[string]*listener{}, pages: map[string]uint64{}, next: 9001000000000000}
	for _, a := range siteApps {
		s.apps[a.name] = newListener(t, a.name)
	}
	cfg, err := loadConfig(write(t, t.TempDir(), "baton.yaml", s.config(t.TempDir(), pages)), nil, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	if s.node, err = openNode(ctx, cfg, slog.New(slog.DiscardHandler), nodeOptions{}); err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.node.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	quiet := simulator.Switches{DropDeliveries: true, DropReads: true, EchoNever: true}
	if err := s.node.simulator.SetSwitches(0, quiet); err != nil {
		t.Fatal(err)
	}
	await(t, s.up, func() string { return "the site is not up" })
	return s
}

func (s *site) up() bool {
	for _, st := range s.node.statuses() {
		if !st.Held {
			return false
		}
	}
	apps := s.node.fanout.Apps()
	for i := range apps {
		if !apps[i].Verified {
			return false
		}
	}
	return len(apps) == len(siteApps)
}

// config is the configuration of the site.
func (s *site) config(dir string, pages map[string]string) string {
	var b configText
	b.line(0, "data_dir: %q", dir)
	b.line(0, `listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0"}`)
	b.line(0, `nats: {listen: ""}`)
	b.line(0, "partitions: 4")
	b.line(0, "durability: dev")
	b.line(0, `platform: {graph_url: simulator, app_id: "700000000009999", app_secret: platform-secret, verify_token: platform-verify}`)
	b.line(0, `egress: {allow: ["127.0.0.0/8"]}`)
	b.line(0, "apps:")
	for _, a := range siteApps {
		extra := a.extra
		if extra != "" {
			extra = ", " + extra
		}
		b.line(1, `- {id: "%s", name: %s, secret: secret-%s, callback_url: %q, verify_token: verify-%s%s, fields: [messages, messaging_postbacks, message_echoes, message_deliveries, message_reads, message_reactions, messaging_referrals, messaging_feedback, messaging_handovers, standby]}`,
			siteID(a.name), a.name, a.name, s.apps[a.name].server.URL+"/webhook", a.name, extra)
	}
	b.line(0, "pages:")
	id := uint64(100000000000001)
	for _, name := range slices.Sorted(mapKeys(pages)) {
		s.pages[name] = id
		object := ""
		if strings.HasPrefix(name, "ig") {
			object = fmt.Sprintf(`object: instagram, linked_page: "%d", `, s.pages["handover"])
		}
		b.line(1, `- {id: "%d", %sname: %s, access_token: page-token-%s, routing: {%s}, apps: [%s]}`, id, object, name, name, siteRouting(pages[name]), connections(name))
		id++
	}
	return b.String()
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// siteRouting puts ids in the place of the apps' names: $A.
func siteRouting(text string) string {
	for _, a := range siteApps {
		text = strings.ReplaceAll(text, "$"+a.name, `"`+siteID(a.name).String()+`"`)
	}
	return text
}

func connections(page string) string {
	var list []string
	for _, a := range siteApps {
		list = append(list, fmt.Sprintf(`{app: "%s", access_token: %s}`, siteID(a.name), siteToken(a.name, page)))
	}
	return strings.Join(list, ", ")
}

func siteToken(app, page string) string { return "token-" + app + "-" + page }

// chat is one thread of the site: a fresh person on a page.
type chat struct {
	*site
	page   string
	asset  uint64
	person uint64
}

// chat begins one.
func (s *site) chat(t *testing.T, page string) *chat {
	t.Helper()
	asset, ok := s.pages[page]
	if !ok {
		t.Fatalf("no page %s", page)
	}
	s.next++
	copied := *s
	copied.t = t
	return &chat{site: &copied, page: page, asset: asset, person: s.next}
}

// says lets the person write, and waits until A has heard it.
func (c *chat) says(text string) {
	c.t.Helper()
	if _, err := c.node.simulator.Message(c.asset, c.person, text, simulator.MessageOptions{}); err != nil {
		c.t.Fatal(err)
	}
	for _, a := range siteApps {
		c.apps[a.name].awaits(c.t, c, text)
	}
}

// to is the recipient of a call.
func (c *chat) to() string { return fmt.Sprintf(`"recipient":{"id":"%d"}`, c.person) }

// call makes a Graph call of an app about the thread; params is JSON without
// braces.
func (c *chat) call(app, edge, params string) (status int, answer string) {
	c.t.Helper()
	body := "{" + c.to()
	if params != "" {
		body += "," + params
	}
	return c.post(app, "/v25.0/me/"+edge, body+"}")
}

func (c *chat) post(app, path, body string) (status int, answer string) {
	c.t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	return request(c.t, method, c.node.publicURL()+path, siteToken(app, c.page), body)
}

// ok makes a call that must succeed.
func (c *chat) ok(app, edge, params string) string {
	c.t.Helper()
	status, answer := c.call(app, edge, params)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s by %s: %d %s", c.page, edge, app, status, answer)
	}
	return answer
}

// refused makes a call that must be refused with these codes.
func (c *chat) refused(app, edge, params string, code, subcode int) {
	c.t.Helper()
	status, answer := c.call(app, edge, params)
	var e struct {
		Error struct {
			Code    int `json:"code"`
			Subcode int `json:"error_subcode"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer), &e); err != nil || status != http.StatusBadRequest || e.Error.Code != code || e.Error.Subcode != subcode {
		c.t.Errorf("%s %s by %s: %d %s, want %d/%d", c.page, edge, app, status, answer, code, subcode)
	}
}

// owner says who has control, by the app that has it: "" for nobody.
func (c *chat) owner() string {
	c.t.Helper()
	for _, a := range siteApps {
		status, answer := c.post(a.name, fmt.Sprintf("/me/thread_owner?recipient=%d", c.person), "")
		if status != http.StatusOK {
			c.t.Fatal(status, answer)
		}
		if strings.Contains(answer, `"app_id":"`+siteID(a.name).String()) {
			return a.name
		}
	}
	return ""
}

// heard is what each named app has received of the thread so far, after all of
// it has arrived: a last word of the person, which is left out, proves it.
func (c *chat) heard(apps ...string) map[string][]string {
	c.t.Helper()
	c.marks++
	c.says(fmt.Sprintf("mark %d of %d", c.marks, c.person))
	all := map[string][]string{}
	for _, name := range apps {
		all[name] = c.apps[name].of(c)
	}
	return all
}

// request makes a call with a token, of which there may be none.
func request(t *testing.T, method, address, token, body string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}
