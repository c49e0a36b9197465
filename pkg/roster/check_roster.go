package roster

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/control"
)

// roster checks apps and pages. relaxed leaves out what only a real platform
// needs: the pages' own tokens.
func (k *checker) roster(batonApp string, relaxed bool, apps []App, pages []Page) {
	known := map[string]bool{}
	for i := range apps {
		path := fmt.Sprintf("apps[%d]", i)
		k.app(path, batonApp, &apps[i])
		if known[apps[i].ID] {
			k.report(path+".id", "app %s is listed twice", apps[i].ID)
		}
		known[apps[i].ID] = true
	}
	seen := map[string]bool{}
	var tokens []tokenUse
	for i := range pages {
		path := fmt.Sprintf("pages[%d]", i)
		p := &pages[i]
		k.page(path, relaxed, p, known)
		if seen[p.ID] {
			k.report(path+".id", "page %s is listed twice", p.ID)
		}
		seen[p.ID] = true
		tokens = k.tokens(path, p, tokens)
	}
}

// id checks a decimal id and reports whether it is one.
func (k *checker) id(path, id string) bool {
	if id == "" {
		k.report(path, "is missing")
		return false
	}
	if _, ok := control.ParseID(id); !ok {
		k.report(path, "%q is not an id: digits only, no leading zero", id)
		return false
	}
	return true
}

func (k *checker) app(path, batonApp string, a *App) {
	if k.id(path+".id", a.ID) {
		if inbox(a.ID) {
			k.report(path+".id", "%s is a built-in inbox; it needs no entry", a.ID)
		}
		if a.ID == batonApp {
			k.report(path+".id", "%s is platform.app_id, Baton's own app", a.ID)
		}
	}
	k.required(path+".secret", a.Secret)
	if a.CallbackURL != "" {
		k.callback(path+".callback_url", a.CallbackURL)
	}
	k.fields(path+".fields", a.Fields)
	k.fields(path+".instagram_fields", a.InstagramFields)
	for i, f := range a.Features {
		k.oneOf(fmt.Sprintf("%s.features[%d]", path, i), f, FeatureHumanAgent)
	}
	k.oneOf(path+".status", a.Status, StatusLive, StatusDevelopment)
	for i, t := range a.Testers {
		k.id(fmt.Sprintf("%s.testers[%d]", path, i), t)
	}
	if a.Compat.Signatures != "" {
		k.oneOf(path+".compat.signatures", a.Compat.Signatures, SignaturesBoth, SignaturesSHA256, SignaturesSHA1)
	}
	if !a.PreviousSecret.IsZero() && a.PreviousSecret.Equal(a.Secret) {
		k.report(path+".previous_secret", "is the same as secret")
	}
	k.delivery(path+".delivery", a.Delivery)
	k.callbackTLS(path+".tls", &a.TLS)
	k.oauth(path+".oauth", &a.OAuth)
	if a.RateLimit.PerSecond < 0 || a.RateLimit.Burst < 0 {
		k.report(path+".rate_limit", "is negative")
	}
}

func (k *checker) callback(path, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		k.report(path, "%q is not an absolute http or https address", address)
	case u.User != nil:
		k.report(path, "must not carry a user or password")
	case u.Fragment != "":
		k.report(path, "must not carry a fragment")
	}
}

func (k *checker) delivery(path string, d Delivery) {
	within := func(name string, n int) {
		if n < 1 || n > 1000 {
			k.report(path+"."+name, "%d is not between 1 and 1000", n)
		}
	}
	within("max_in_flight", d.MaxInFlight)
	within("max_batch", d.MaxBatch)
	if t := time.Duration(d.Timeout); t < 100*time.Millisecond || t > time.Minute {
		k.report(path+".timeout", "%s is not between 100ms and 1m", d.Timeout)
	}
	if t := time.Duration(d.RetryFor); t > 30*24*time.Hour {
		k.report(path+".retry_for", "%s is more than 720h", d.RetryFor)
	}
	if d.MaxPerSecond < 0 || d.MaxPerSecond > 100_000 {
		k.report(path+".max_per_second", "%d is not between 0 and 100000", d.MaxPerSecond)
	}
	if t := time.Duration(d.DropStandbyOlderThan); t != 0 && (t < time.Second || t > 30*24*time.Hour) {
		k.report(path+".drop_standby_older_than", "%s is not between 1s and 720h", d.DropStandbyOlderThan)
	}
	k.oneOf(path+".on_exhausted", d.OnExhausted, ExhaustedSkip, ExhaustedBlockThread, ExhaustedPauseApp)
}

func (k *checker) fields(path string, fields []string) {
	for i, f := range fields {
		if !KnownField(f) {
			k.report(fmt.Sprintf("%s[%d]", path, i), "unknown field %q%s", f, suggestion(f, FieldNames()))
		}
	}
}

func (k *checker) page(path string, relaxed bool, p *Page, apps map[string]bool) {
	k.id(path+".id", p.ID)
	k.oneOf(path+".object", p.Object, "page", "instagram")
	if !relaxed {
		k.required(path+".access_token", p.AccessToken)
	}
	if p.LinkedPage != "" {
		if k.id(path+".linked_page", p.LinkedPage) && p.LinkedPage == p.ID {
			k.report(path+".linked_page", "is the account itself")
		}
		if p.Object != "instagram" {
			k.report(path+".linked_page", "is for instagram only")
		}
	}
	if utf8.RuneCountInString(p.Name) > 200 {
		k.report(path+".name", "is longer than 200 characters")
	}
	connected := map[string]bool{}
	for i := range p.Apps {
		k.connection(fmt.Sprintf("%s.apps[%d]", path, i), &p.Apps[i], apps, connected)
	}
	k.routing(path+".routing", &p.Routing, apps, connected)
}

func (k *checker) connection(path string, c *Connection, apps, connected map[string]bool) {
	switch {
	case !k.id(path+".app", c.App):
	case inbox(c.App):
		k.report(path+".app", "%s is a built-in inbox and always connected", c.App)
	case !apps[c.App]:
		k.report(path+".app", "app %s is not in apps", c.App)
	case connected[c.App]:
		k.report(path+".app", "app %s is connected twice", c.App)
	}
	connected[c.App] = true
	for i, task := range c.Tasks {
		k.oneOf(fmt.Sprintf("%s.tasks[%d]", path, i), task,
			TaskModerate, TaskMessaging, "MANAGE", "CREATE_CONTENT", "ADVERTISE", "ANALYZE")
	}
	for i, p := range c.Permissions {
		if !word(p) {
			k.report(fmt.Sprintf("%s.permissions[%d]", path, i), "%q is not the name of a permission", p)
		}
	}
	k.fields(path+".fields", c.Fields)
}

// word reports whether s is a name in lower case, like pages_messaging.
func word(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// tokenUse remembers where a token stands.
type tokenUse struct {
	hash TokenHash
	page string
	app  string
}

// tokens finds tokens that stand twice: a token names one app on one asset.
func (k *checker) tokens(path string, p *Page, seen []tokenUse) []tokenUse {
	for i := range p.Apps {
		c := &p.Apps[i]
		if !k.stored && c.AccessToken.IsZero() && len(c.AccessTokens) == 0 && len(c.Tokens) == 0 {
			k.report(fmt.Sprintf("%s.apps[%d].access_token", path, i), "is missing")
		}
		at := fmt.Sprintf("%s.apps[%d].access_token", path, i)
		for _, h := range c.hashes() {
			j := slices.IndexFunc(seen, func(u tokenUse) bool { return u.hash == h })
			if j >= 0 && (seen[j].page != p.ID || seen[j].app != c.App) {
				k.report(at, "is the same token as that of app %s on page %s; here it is app %s on page %s",
					seen[j].app, seen[j].page, c.App, p.ID)
			}
			seen = append(seen, tokenUse{h, p.ID, c.App})
		}
	}
	return seen
}

func inbox(id string) bool {
	n, err := strconv.ParseUint(id, 10, 64)
	return err == nil && control.AppID(n).IsInbox()
}
