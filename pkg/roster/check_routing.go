package roster

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// routing checks a page's routing against the apps that exist and those that
// are connected to it.
func (k *checker) routing(path string, r *Routing, apps, connected map[string]bool) {
	k.oneOf(path+".mode", r.Mode, ModeHandover, ModeConversationRouting)
	ref := func(at, app string, inboxes bool) { k.reference(at, app, inboxes, apps, connected) }
	if r.Primary != "" {
		if r.Mode == ModeConversationRouting {
			k.report(path+".primary", "is for handover mode; conversation_routing has default_app")
		}
		if inbox(r.Primary) {
			k.report(path+".primary", "%s is an inbox, which cannot be the primary", r.Primary)
		} else {
			ref(path+".primary", r.Primary, false)
		}
	}
	if r.DefaultApp != "" {
		if r.Mode == ModeHandover {
			k.report(path+".default_app", "is for conversation_routing; handover has primary")
		}
		ref(path+".default_app", r.DefaultApp, true)
	}
	for i, app := range r.CanTake {
		ref(fmt.Sprintf("%s.can_take[%d]", path, i), app, true)
	}
	for _, link := range slices.Sorted(maps.Keys(r.Links)) {
		ref(fmt.Sprintf("%s.links[%q]", path, link), r.Links[link], true)
	}
	if r.SocialApp != "" {
		ref(path+".social_app", r.SocialApp, true)
	}
	k.ads(path+".ads", r.Ads, ref)
	if r.IdleChannel != "" {
		k.oneOf(path+".idle_channel", r.IdleChannel, "standby", "messaging")
	}
	if r.IdleSend != "" {
		k.oneOf(path+".idle_send", r.IdleSend, IdleSendAny, IdleSendOwnerOnly)
	}
	if r.IGStyle != "" {
		k.oneOf(path+".ig_style", r.IGStyle, "2018300", "2534037")
	}
	if t := time.Duration(r.Expiry); t < time.Second || t > 365*24*time.Hour {
		k.report(path+".expiry", "%s is not between 1s and 8760h", r.Expiry)
	}
}

func (k *checker) ads(path string, ads map[string]AdRoute, ref func(at, app string, inboxes bool)) {
	for _, ad := range slices.Sorted(maps.Keys(ads)) {
		at := path + "[" + strconv.Quote(ad) + "]"
		if ad == "" {
			k.report(at, "an ad without an id")
		}
		ref(at+".app", ads[ad].App, true)
		if days := ads[ad].Days; days < 1 || days > 30 {
			k.report(at+".days", "%d is not between 1 and 30", days)
		}
	}
}

// reference checks that app exists and is connected to the page.
func (k *checker) reference(path, app string, inboxes bool, apps, connected map[string]bool) {
	switch {
	case !k.id(path, app):
	case inbox(app):
		if !inboxes {
			k.report(path, "%s is an inbox", app)
		}
	case !apps[app]:
		k.report(path, "app %s is not in apps", app)
	case !connected[app]:
		k.report(path, "app %s is not connected to this page", app)
	}
}
