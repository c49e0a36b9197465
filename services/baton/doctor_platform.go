package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// platformDoctor looks for what is missing on the platform's side.
type platformDoctor struct {
	app      string // Baton's own app there; empty when it is not configured
	reader   platform.Reader
	base     string // the platform's address
	snapshot *roster.Snapshot
	now      func() time.Time
}

func newPlatformDoctor(client *platform.Client, snapshot *roster.Snapshot, now func() time.Time) platformDoctor {
	app := snapshot.BatonApp()
	return platformDoctor{app: app.String(), reader: client.Reader(uint64(app)), base: client.BaseURL(), snapshot: snapshot, now: now}
}

// Bounds of what is still well.
const (
	maxSkew    = 30 * time.Second
	soonEnding = 7 * 24 * time.Hour
)

// whatPlatform is the subject of findings about the platform itself.
const whatPlatform = "platform"

// examine asks the platform. The error is that it cannot be reached at all; the
// finding says so too.
func (d platformDoctor) examine(ctx context.Context, e *examination) error {
	if d.app == "" {
		e.find(problem, whatPlatform, advice{
			"platform.app_id is not set", "Baton cannot tell its own echoes and tokens from those of others",
			"set platform.app_id and platform.app_secret to those of Baton's app on the platform",
		})
		return nil
	}
	subscriptions, err := d.reader.Subscriptions(ctx)
	if away := d.asked(e, err); away != nil {
		return away
	}
	if err == nil {
		d.webhooks(e, subscriptions)
	}
	for _, id := range d.snapshot.Assets() {
		asset, _ := d.snapshot.Asset(id)
		d.page(ctx, e, asset)
	}
	return nil
}

// asked sorts how the first question ended; an error says that no other needs
// to be asked.
func (d platformDoctor) asked(e *examination, err error) error {
	if _, refused := platform.Refused(err); refused {
		e.find(problem, whatPlatform, advice{
			"it refuses Baton's app " + d.app + " and its secret: " + platform.Reason(err),
			"with a wrong secret no webhook passes its check, and no call its appsecret_proof",
			"compare platform.app_id and platform.app_secret with the app's settings on the platform",
		})
		return nil
	}
	if err != nil {
		e.find(problem, whatPlatform, advice{
			"it does not answer at " + d.base + ": " + err.Error(), "nothing can be sent to people, and nothing more be asked",
			"check platform.graph_url, the network and the proxy of this machine",
		})
		return err
	}
	e.well("the platform answers at %s and knows app %s and its secret", d.base, d.app)
	return nil
}

// webhooks compares the app's subscriptions with what the apps here are to hear.
func (d platformDoctor) webhooks(e *examination, have []platform.Subscription) {
	for _, object := range []control.Object{control.ObjectPage, control.ObjectInstagram} {
		need := d.fields(object)
		if len(need) == 0 {
			continue
		}
		i := slices.IndexFunc(have, func(s platform.Subscription) bool { return s.Object == object.String() })
		if i < 0 || !have[i].Active {
			e.find(problem, whatPlatform, advice{
				"app " + d.app + " has no active webhook subscription for " + object.String(), "Baton hears nothing of those pages",
				"subscribe it: POST /" + d.app + "/subscriptions with object=" + object.String() + ", the address of /webhook and platform.verify_token",
			})
			continue
		}
		if lacking := without(need, have[i].Fields); len(lacking) > 0 {
			e.find(problem, whatPlatform, advice{
				"the webhook subscription for " + object.String() + " lacks the fields " + strings.Join(lacking, ", "),
				"what they are about reaches neither Baton nor its apps", "add them to the app's subscription on the platform",
			})
		} else {
			e.well("the webhook subscription for %s has all fields", object)
		}
		d.callback(e, object, have[i].CallbackURL)
	}
}

// callback says what can be said of the address that the platform calls.
func (d platformDoctor) callback(e *examination, object control.Object, address string) {
	u, err := url.Parse(address)
	if err != nil || !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/webhook") {
		e.find(problem, whatPlatform, advice{
			"webhooks for " + object.String() + " go to " + address, "Baton takes them at /webhook on its public listener",
			"set the subscription's callback_url to the public address of /webhook, or let the proxy lead it there",
		})
		return
	}
	e.find(note, whatPlatform, advice{
		"webhooks for " + object.String() + " go to " + address + "; that this is reached from outside cannot be proven from here",
		"without it nothing comes in", "write to the page and look for the message: baton thread ls",
	})
}

// ownFields are those that Baton needs, whatever its apps hear: messages, what
// people tap, echoes, and what the inbox does.
func ownFields() []string {
	return []string{"messages", "messaging_postbacks", "message_echoes", "messaging_handovers"}
}

// fields are those that pages of the object need; none when there are none.
func (d platformDoctor) fields(object control.Object) []string {
	var need []string
	for _, id := range d.snapshot.Assets() {
		if asset, _ := d.snapshot.Asset(id); asset.Object == object {
			need = append(need, d.pageFields(asset)...)
		}
	}
	slices.Sort(need)
	return slices.Compact(need)
}

// pageFields are those that one page needs. Copies on standby are Baton's own
// making, and Instagram has no field for echoes.
func (d platformDoctor) pageFields(asset *roster.Asset) []string {
	var set delivery.FieldSet
	for _, name := range ownFields() {
		f, _ := delivery.ParseField(name)
		set |= delivery.Fields(f)
	}
	for _, r := range asset.Delivery.Receivers {
		set |= r.Fields
	}
	set &^= delivery.Fields(delivery.FieldStandby)
	if asset.Object == control.ObjectInstagram {
		set &^= delivery.Fields(delivery.FieldMessageEchoes)
	}
	var names []string
	for f := delivery.Field(0); f.String() != ""; f++ {
		if set.Has(f) {
			names = append(names, f.String())
		}
	}
	return names
}

// without is what of need is not in have, under any of a field's names.
func without(need, have []string) (lacking []string) {
	var set delivery.FieldSet
	for _, name := range have {
		if f, ok := delivery.ParseField(name); ok {
			set |= delivery.Fields(f)
		}
	}
	for _, name := range need {
		if f, ok := delivery.ParseField(name); ok && !set.Has(f) {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// page looks at one page's token and subscription.
func (d platformDoctor) page(ctx context.Context, e *examination, asset *roster.Asset) {
	subject := "page " + strconv.FormatUint(asset.ID, 10)
	state, date, err := d.reader.Token(ctx, asset.AccessToken.Value())
	if err != nil {
		d.silent(e, subject, "debug_token", err)
		return
	}
	d.clock(e, date)
	if !d.token(e, subject, asset, state) {
		return
	}
	fields, subscribed, err := d.reader.PageFields(ctx, asset.Node(), asset.AccessToken.Value())
	switch {
	case err != nil:
		d.silent(e, subject, "subscribed_apps", err)
		return
	case !subscribed:
		e.find(problem, subject, advice{
			"Baton's app is not subscribed to it", "the platform sends none of its webhooks",
			fmt.Sprintf("POST /%d/subscribed_apps?subscribed_fields=%s with the page's token", asset.Node(), strings.Join(d.pageFields(asset), ",")),
		})
	case len(without(d.pageFields(asset), fields)) > 0:
		e.find(problem, subject, advice{
			"its subscription lacks the fields " + strings.Join(without(d.pageFields(asset), fields), ", "),
			"an event comes only when its field is subscribed at the app and at the page",
			"POST subscribed_apps with all fields, the old ones too",
		})
	default:
		e.well("%s: subscribed with all fields", subject)
	}
	d.role(ctx, e, subject, asset)
}

// silent is the finding that a question got no answer.
func (d platformDoctor) silent(e *examination, subject, question string, err error) {
	reason := platform.Reason(err)
	if reason == "" {
		reason = err.Error()
	}
	e.find(problem, subject, advice{
		question + " was not answered: " + reason, "what it would tell is not known",
		"check the page's access_token in the configuration, then ask again",
	})
}

// clock compares the platform's clock with this machine's; once is enough.
func (d platformDoctor) clock(e *examination, date time.Time) {
	const well = "clock"
	skew := d.now().Sub(date).Abs()
	switch {
	case date.IsZero() || slices.ContainsFunc(e.healthy, func(s string) bool { return strings.HasPrefix(s, well) }):
	case skew > maxSkew:
		e.find(problem, well, advice{
			fmt.Sprintf("this machine's clock differs from the platform's by %s", skew.Round(time.Second)),
			"control lapses and messaging windows close at the wrong time", "let this machine's clock be set by NTP",
		})
	default:
		e.well("%s: within %s of the platform's", well, maxSkew)
	}
}

// token looks at what the page's token is good for; false when it is good for
// nothing.
func (d platformDoctor) token(e *examination, subject string, asset *roster.Asset, t platform.TokenState) bool {
	renew := "make a page token for app " + d.app + " and put it into access_token of the page"
	switch {
	case !t.Valid:
		e.find(problem, subject, advice{"its access_token is not valid: " + t.Error.Message, "nothing can be sent in its name", renew})
		return false
	case t.AppID != d.app:
		e.find(problem, subject, advice{
			"its access_token belongs to app " + t.AppID + ", not to Baton's " + d.app,
			"what is sent with it comes back as another app's, and proofs do not fit", renew,
		})
	case t.ProfileID != "" && t.ProfileID != strconv.FormatUint(asset.Node(), 10):
		e.find(problem, subject, advice{"its access_token belongs to page " + t.ProfileID, "messages would go out in another page's name", renew})
	}
	d.expiry(e, subject, renew, t)
	for _, scope := range scopes(asset.Object) {
		if !slices.Contains(t.Scopes, scope) {
			e.find(problem, subject, advice{
				"its access_token lacks the permission " + scope, "the platform refuses the calls that need it",
				"ask for the permission when the token is made, and make it again",
			})
		}
	}
	return true
}

// expiry looks at when the token ends.
func (d platformDoctor) expiry(e *examination, subject, renew string, t platform.TokenState) {
	for _, end := range []int64{t.ExpiresAt, t.DataAccessExpiresAt} {
		if left := time.Unix(end, 0).Sub(d.now()); end != 0 && left < soonEnding {
			e.find(problem, subject, advice{
				"its access_token ends " + time.Unix(end, 0).UTC().Format(time.RFC3339), "from then on nothing can be sent in its name", renew,
			})
			return
		}
	}
}

// scopes are what a token must carry on the object.
func scopes(o control.Object) []string {
	if o == control.ObjectInstagram {
		return []string{roster.PermissionInstagramMessages, roster.PermissionPagesMetadata}
	}
	return []string{roster.PermissionPagesMessaging, roster.PermissionPagesMetadata}
}

// role asks whether Baton leads on the platform: only then it may take threads
// back from the inbox.
func (d platformDoctor) role(ctx context.Context, e *examination, subject string, asset *roster.Asset) {
	leads, err := d.reader.Leads(ctx, asset.Node(), asset.AccessToken.Value())
	switch {
	case errors.Is(err, platform.ErrUnknown) || errors.Is(err, platform.ErrNotSent):
		d.silent(e, subject, "secondary_receivers", err)
	case !leads:
		e.find(note, subject, advice{
			"the platform does not show Baton's app as the primary receiver",
			"another app or the inbox may keep threads from it, and taking one back from the inbox may be refused",
			"make Baton's app the primary receiver, or the default application with the right to take control, in the page's settings",
		})
	default:
		e.well("%s: Baton's app is the primary receiver", subject)
	}
}
