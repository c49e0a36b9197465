package control

// Object says which kind of asset a page is.
type Object uint8

// The objects that webhooks and pages have.
const (
	ObjectPage Object = iota
	ObjectInstagram
)

// String is the object's name in webhooks and configuration.
func (o Object) String() string {
	if o == ObjectInstagram {
		return "instagram"
	}
	return "page"
}

// Mode is the routing mode of a page. Source: protocol, opening table.
type Mode uint8

// The routing modes.
const (
	// ModeHandover is Handover v2, with a primary (Lead set) or without.
	ModeHandover Mode = iota
	// ModeZeroConfig is Conversation Routing without a default app.
	ModeZeroConfig
	// ModeDefaultApp is Conversation Routing with one (Lead set).
	ModeDefaultApp
)

// Channel is the array in which a webhook reaches an app.
type Channel uint8

// The channels.
const (
	ChannelStandby Channel = iota
	ChannelMessaging
)

// String is the name of the webhook array.
func (c Channel) String() string {
	if c == ChannelMessaging {
		return "messaging"
	}
	return "standby"
}

// App is what the rules know of an app connected to a page.
type App struct {
	// CanTake is Conversation Routing's "take control" toggle.
	CanTake bool
	// HumanAgent is the reviewed human-agent feature.
	HumanAgent bool
	// Development apps may message only their testers.
	Development bool
	Testers     map[uint64]struct{}
}

// Ad is the route of a click-to-Messenger ad: the app that gains control and
// its control window in days, 1 to 30.
type Ad struct {
	App  AppID
	Days uint8
}

// Page is a page's rules at one roster version. It is shared and never changed
// after it was built.
type Page struct {
	Asset  uint64
	Object Object
	Mode   Mode
	// Lead is the primary receiver in handover mode and the default app in
	// Conversation Routing; zero when the page has none. It may be an inbox
	// only in ModeDefaultApp.
	Lead AppID
	// Apps are the connected apps. The inboxes are not listed.
	Apps map[AppID]App
	// Social is the app of organic entry, Links the app per ref, Ads the
	// route per ad id. Entries whose app is not connected do not count.
	Social AppID
	Links  map[string]AppID
	Ads    map[string]Ad
	// Menu maps the payload hash of a page-level menu item, ice breaker or
	// get-started button to the app that set it.
	Menu map[uint64]AppID
	// GetStarted is the payload hash of the get-started button. In
	// ModeDefaultApp it is an entry point, not a menu item (row 05).
	GetStarted uint64
	// Expiry is how long control lasts without activity; 24 h by default.
	Expiry Millis
	// IdleChannel is the channel of events on idle threads.
	IdleChannel Channel
	// BatonApp is Baton's own app on the platform (platform.app_id).
	BatonApp AppID

	// Switches; the roster resolves null to the mode's default.
	AutoGrantOnRelease     bool // release grants the oldest request
	OwnerSendExtends       bool // the owner's send counts as activity
	IdleSendOwnerOnly      bool // idle threads accept sends of the lead only
	AnnounceIdleAssignment bool // idle -> lead also emits a pass webhook
	ZeroConfigLiteral      bool // zero_config ignores owners on sends (row 24)
	StrictIdlePass         bool // default_app: only the lead passes from idle
	LinkPreempts           bool // link referrals preempt an owner (C26)
	BroadcastHandovers     bool // take and pass copies to every app (C4)
	MarkSeenByAnyone       bool // mark_seen is exempt from the send gate (C27)
	InstagramSendCode      bool // ownership refusals of Instagram sends use 100/2534037
}

// Inbox is the built-in inbox of the page's channel.
func (p *Page) Inbox() AppID {
	if p.Object == ObjectInstagram {
		return InstagramInbox
	}
	return PageInbox
}

// Connected reports whether a may hold control on the page: a connected app or
// an inbox. Both inboxes are accepted on both objects (protocol 6.13).
func (p *Page) Connected(a AppID) bool {
	if a.IsInbox() {
		return true
	}
	_, ok := p.Apps[a]
	return ok && a != 0
}

// Env is what Decide knows beside the thread: the partition time, the position
// that the first event it returns will take, and the page's rules at the roster
// version in force.
type Env struct {
	Now      Millis
	Position Position
	Page     *Page
	// Person is the thread's person: development apps may message only their
	// testers. Zero for the page itself.
	Person uint64
}

// expiry is Expiry or its default.
func (p *Page) expiry() Millis {
	if p.Expiry <= 0 {
		return Day
	}
	return p.Expiry
}

// lead is Lead while it is connected; zero_config has none.
func (p *Page) lead() AppID {
	if p.Mode == ModeZeroConfig || !p.Connected(p.Lead) {
		return 0
	}
	return p.Lead
}

// ownInbox is a, with every way to name an inbox folded into the page's own:
// both inboxes are accepted on both objects (protocol 6.13).
func (p *Page) ownInbox(a AppID) AppID {
	if a.IsInbox() || a == PageInboxShort {
		return p.Inbox()
	}
	return a
}

// tests reports whether person is one of the app's testers.
func (a *App) tests(person uint64) bool {
	_, ok := a.Testers[person]
	return ok
}
