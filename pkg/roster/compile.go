package roster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
)

// Compile builds the snapshot of a document. The error names the first id that
// cannot be read; a document made by this package has none.
func Compile(d Document, version uint64) (*Snapshot, error) {
	s := &Snapshot{
		version: version, document: d,
		apps:    make(map[control.AppID]*Application, len(d.Apps)),
		assets:  make(map[uint64]*Asset, len(d.Pages)),
		callers: map[TokenHash]*Caller{},
	}
	c := &compiler{snapshot: s}
	s.batonApp = c.optional("baton_app", d.BatonApp)
	for i := range d.Apps {
		c.app(&d.Apps[i])
	}
	for i := range d.Pages {
		c.page(&d.Pages[i])
	}
	if c.err != nil {
		return nil, c.err
	}
	s.appIDs = slices.Sorted(maps.Keys(s.apps))
	s.assetIDs = slices.Sorted(maps.Keys(s.assets))
	return s, nil
}

// compiler keeps the first error, so that the steps read without checks.
type compiler struct {
	snapshot *Snapshot
	err      error
}

func (c *compiler) required(what, id string) control.AppID {
	n, ok := control.ParseID(id)
	if !ok && c.err == nil {
		c.err = fmt.Errorf("roster: %s: %q is not an id", what, id)
	}
	return control.AppID(n)
}

func (c *compiler) optional(what, id string) control.AppID {
	if id == "" {
		return 0
	}
	return c.required(what, id)
}

func (c *compiler) app(a *App) {
	compiled := &Application{App: *a, Number: c.required("app", a.ID), PassThroughEdges: map[string]bool{}}
	edges := a.PassThrough
	if edges == nil {
		edges = defaultPassThrough
	}
	for _, e := range edges {
		compiled.PassThroughEdges[e] = true
	}
	c.snapshot.apps[compiled.Number] = compiled
	c.snapshot.retry = max(c.snapshot.retry, time.Duration(a.Delivery.RetryFor))
}

// defaultPassThrough are the edges that every app may use uninterpreted; ""
// is a node itself (a person's profile). Source: protocol 12.36.
//
//nolint:gochecknoglobals // a constant table
var defaultPassThrough = []string{
	"", "message_attachments", "personas", "custom_labels", "label", "conversations", "moderate_conversations", "insights", "messages",
	"messaging_feature_review",
}

func (c *compiler) page(p *Page) {
	asset := &Asset{
		ID: uint64(c.required("page", p.ID)), Name: p.Name, AccessToken: p.AccessToken,
		LinkedPage:  uint64(c.optional("linked_page", p.LinkedPage)),
		Connections: p.Apps, Profile: p.Profile,
	}
	if p.Object == control.ObjectInstagram.String() {
		asset.Object = control.ObjectInstagram
	}
	rules := &control.Page{
		Asset: asset.ID, Object: asset.Object, BatonApp: c.snapshot.batonApp,
		Apps: map[control.AppID]control.App{}, Menu: menu(p.Profile),
	}
	for i := range p.Apps {
		c.connect(asset, rules, &p.Apps[i])
	}
	for id, app := range rules.Apps {
		app.CanTake = slices.Contains(p.Routing.CanTake, id.String())
		rules.Apps[id] = app
	}
	c.routing(rules, &p.Routing)
	rules.GetStarted = getStarted(p.Profile)
	asset.Rules = rules
	asset.Delivery = &delivery.Page{Rules: rules, Receivers: c.receivers(asset.Object, p.Apps)}
	c.snapshot.assets[asset.ID] = asset
}

// connect adds a connection's tokens, and its app to the rules when it is
// connected.
func (c *compiler) connect(asset *Asset, rules *control.Page, conn *Connection) {
	app, ok := c.snapshot.apps[c.required("connection", conn.App)]
	if !ok {
		if c.err == nil {
			c.err = fmt.Errorf("roster: page %d connects app %s, which does not exist", asset.ID, conn.App)
		}
		return
	}
	caller := &Caller{App: app, Asset: asset, Connected: !conn.Disconnected, tasks: conn.Tasks, permissions: conn.Permissions}
	for _, token := range conn.Tokens {
		c.snapshot.callers[token] = caller
	}
	if conn.Disconnected {
		return
	}
	known := control.App{
		HumanAgent:  slices.Contains(app.Features, FeatureHumanAgent),
		Development: app.Status == StatusDevelopment,
	}
	if known.Development {
		known.Testers = make(map[uint64]struct{}, len(app.Testers))
		for _, t := range app.Testers {
			known.Testers[uint64(c.required("tester", t))] = struct{}{}
		}
	}
	rules.Apps[app.Number] = known
}

// receivers lists the connected apps with the fields that are subscribed at
// both levels; a connection without fields has the app's.
func (c *compiler) receivers(object control.Object, connections []Connection) []delivery.Receiver {
	var list []delivery.Receiver
	for i := range connections {
		conn := &connections[i]
		app, ok := c.snapshot.apps[c.required("connection", conn.App)]
		if !ok || conn.Disconnected {
			continue
		}
		fields := fieldSet(app.FieldsOn(object))
		if len(conn.Fields) > 0 {
			fields &= fieldSet(conn.Fields)
		}
		list = append(list, delivery.Receiver{
			App: app.Number, Fields: fields, StandbyExtended: app.Compat.StandbyExtended,
			NumericAppIDs: app.Compat.NumericAppIDs, EmptyMessaging: app.Compat.EmptyMessaging,
		})
	}
	slices.SortFunc(list, func(a, b delivery.Receiver) int { return cmp.Compare(a.App, b.App) })
	return list
}

func (c *compiler) routing(p *control.Page, r *Routing) {
	lead := c.optional("primary", r.Primary)
	if r.Mode == ModeConversationRouting {
		p.Mode = control.ModeZeroConfig
		if lead = c.optional("default_app", r.DefaultApp); lead != 0 {
			p.Mode = control.ModeDefaultApp
		}
	}
	if p.Connected(lead) {
		p.Lead = lead
	}
	if social := c.optional("social_app", r.SocialApp); p.Connected(social) {
		p.Social = social
	}
	p.Links = make(map[string]control.AppID, len(r.Links))
	for ref, id := range r.Links {
		if app := c.optional("links", id); p.Connected(app) {
			p.Links[ref] = app
		}
	}
	p.Ads = make(map[string]control.Ad, len(r.Ads))
	for ad, route := range r.Ads {
		if app := c.optional("ads", route.App); p.Connected(app) {
			p.Ads[ad] = control.Ad{App: app, Days: days(route.Days)}
		}
	}
	p.Expiry = control.Millis(time.Duration(r.Expiry).Milliseconds())
	if p.Expiry == 0 {
		p.Expiry = control.Day
	}
	switches(p, r)
}

// days keeps an ad's window within 1 to 30.
func days(n int) uint8 {
	if n < 1 || n > 30 {
		return 1
	}
	return uint8(n)
}

// switches resolves each null to the mode's default.
func switches(p *control.Page, r *Routing) {
	p.IdleChannel = control.ChannelStandby
	if r.IdleChannel == control.ChannelMessaging.String() || r.IdleChannel == "" && p.Mode == control.ModeZeroConfig {
		p.IdleChannel = control.ChannelMessaging
	}
	p.OwnerSendExtends = or(r.OwnerSendExtends, p.Mode == control.ModeHandover)
	p.AutoGrantOnRelease = or(r.AutoGrantOnRelease, false)
	p.BroadcastHandovers = or(r.BroadcastHandovers, false)
	p.AnnounceIdleAssignment = or(r.AnnounceIdleAssignment, false)
	p.ZeroConfigLiteral = or(r.ZeroConfigLiteral, false)
	p.StrictIdlePass = or(r.StrictIdlePass, false)
	p.LinkPreempts = or(r.LinkPreempts, false)
	p.MarkSeenByAnyone = or(r.MarkSeenByAnyone, false)
	p.IdleSendOwnerOnly = r.IdleSend == IdleSendOwnerOnly
	p.InstagramSendCode = r.IGStyle == "2534037"
}

func or(s *bool, standard bool) bool {
	if s != nil {
		return *s
	}
	return standard
}

// getStarted is the payload of the get-started button.
func getStarted(items []ProfileItem) uint64 {
	hash := uint64(0)
	for _, item := range items {
		var tree any
		if item.Property == "get_started" && json.Unmarshal(item.Value, &tree) == nil {
			payloads(tree, func(payload string) { hash = control.PayloadHash(payload) })
		}
	}
	return hash
}

// menu maps every payload in the page-level properties to the app that set it;
// the last writer of a payload wins.
func menu(items []ProfileItem) map[uint64]control.AppID {
	m := map[uint64]control.AppID{}
	for _, item := range items {
		app, ok := control.ParseID(item.App)
		var tree any
		if !ok || json.Unmarshal(item.Value, &tree) != nil {
			continue
		}
		payloads(tree, func(payload string) { m[control.PayloadHash(payload)] = control.AppID(app) })
	}
	delete(m, 0)
	return m
}

// payloads calls found for each "payload" text in a JSON value.
func payloads(v any, found func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if text, ok := child.(string); ok && key == "payload" {
				found(text)
				continue
			}
			payloads(child, found)
		}
	case []any:
		for _, child := range v {
			payloads(child, found)
		}
	}
}
