package roster

import (
	"encoding/json"
	"time"
)

// Page is a Page or Instagram account as the file and the stored document
// describe it.
type Page struct {
	ID string `yaml:"id" json:"id"`
	// Object is page or instagram.
	Object string `yaml:"object" json:"object"`
	Name   string `yaml:"name" json:"name,omitempty"`
	// AccessToken is Baton's own token towards the platform.
	AccessToken Secret `yaml:"access_token" json:"access_token"`
	// LinkedPage is the Page that an Instagram account belongs to.
	LinkedPage string       `yaml:"linked_page" json:"linked_page,omitempty"`
	Routing    Routing      `yaml:"routing" json:"routing"`
	Apps       []Connection `yaml:"apps" json:"apps,omitempty"`
	// Profile are the page-level menus and the like, the last written last.
	// They are set at run time only; applying a file keeps them.
	Profile []ProfileItem `yaml:"-" json:"profile,omitempty"`
}

// Routing says who gets what on a page.
type Routing struct {
	// Mode is handover or conversation_routing.
	Mode string `yaml:"mode" json:"mode"`
	// Primary is the primary receiver in handover mode; optional.
	Primary string `yaml:"primary" json:"primary,omitempty"`
	// DefaultApp is the default app of conversation_routing; it may be an
	// inbox; empty is the zero-config behaviour.
	DefaultApp string `yaml:"default_app" json:"default_app,omitempty"`
	// CanTake are the apps with the take toggle (conversation_routing).
	CanTake []string `yaml:"can_take" json:"can_take,omitempty"`
	// Links maps a ref to an app, Ads an ad id to its route.
	Links map[string]string  `yaml:"links" json:"links,omitempty"`
	Ads   map[string]AdRoute `yaml:"ads" json:"ads,omitempty"`
	// SocialApp gets organic entries.
	SocialApp string `yaml:"social_app" json:"social_app,omitempty"`
	// IdleChannel is standby or messaging; empty is the mode's default.
	IdleChannel string `yaml:"idle_channel" json:"idle_channel,omitempty"`
	// Expiry is how long control lasts without activity; at least 1 s.
	Expiry Duration `yaml:"expiry" json:"expiry"`

	// Switches; null is the mode's default.
	AutoGrantOnRelease     *bool `yaml:"auto_grant_on_release" json:"auto_grant_on_release,omitempty"`
	OwnerSendExtends       *bool `yaml:"owner_send_extends" json:"owner_send_extends,omitempty"`
	BroadcastHandovers     *bool `yaml:"broadcast_handovers" json:"broadcast_handovers,omitempty"`
	AnnounceIdleAssignment *bool `yaml:"announce_idle_assignment" json:"announce_idle_assignment,omitempty"`
	ZeroConfigLiteral      *bool `yaml:"zero_config_literal" json:"zero_config_literal,omitempty"`
	StrictIdlePass         *bool `yaml:"strict_idle_pass" json:"strict_idle_pass,omitempty"`
	LinkPreempts           *bool `yaml:"link_preempts" json:"link_preempts,omitempty"`
	MarkSeenByAnyone       *bool `yaml:"mark_seen_by_anyone" json:"mark_seen_by_anyone,omitempty"`
	// IdleSend is any or owner_only; empty is any.
	IdleSend string `yaml:"idle_send" json:"idle_send,omitempty"`
	// IGStyle is the subcode of ownership refusals of Instagram sends:
	// 2018300 (default) or 2534037.
	IGStyle string `yaml:"ig_style" json:"ig_style,omitempty"`
}

// AdRoute is the app that an ad leads to and its control window in days, 1 to
// 30; left out, 1.
type AdRoute struct {
	App  string `yaml:"app" json:"app"`
	Days int    `yaml:"days" json:"days"`
}

// Routing modes of the file.
const (
	ModeHandover            = "handover"
	ModeConversationRouting = "conversation_routing"
)

// Values of Routing.IdleSend.
const (
	IdleSendAny       = "any"
	IdleSendOwnerOnly = "owner_only"
)

// Connection is an app on a page.
type Connection struct {
	App string `yaml:"app" json:"app"`
	// AccessToken and AccessTokens are what the app presents; each is valid.
	// The stored document keeps only their hashes.
	AccessToken  Secret   `yaml:"access_token" json:"-"`
	AccessTokens []Secret `yaml:"access_tokens" json:"-"`
	// Tokens are the hashes of the valid tokens.
	Tokens []TokenHash `yaml:"-" json:"tokens,omitempty"`
	// Tasks of the person behind the token; left out, MODERATE and MESSAGING.
	Tasks []string `yaml:"tasks" json:"tasks"`
	// Permissions of the token; left out, all that messaging needs.
	Permissions []string `yaml:"permissions" json:"permissions"`
	// Fields are the page-level subscriptions; empty for the app's own.
	Fields []string `yaml:"fields" json:"fields,omitempty"`
	// Disconnected: the app left at run time; its tokens may reconnect it.
	Disconnected bool `yaml:"-" json:"disconnected,omitempty"`
}

// ProfileItem is a page-level property that an app has set.
type ProfileItem struct {
	// Property is persistent_menu, ice_breakers, get_started or another of
	// messenger_profile.
	Property string          `json:"property"`
	App      string          `json:"app"`
	Value    json.RawMessage `json:"value"`
}

// The default tasks and permissions of a connection.
const (
	TaskModerate  = "MODERATE"
	TaskMessaging = "MESSAGING"

	PermissionPagesMessaging    = "pages_messaging"
	PermissionInstagramMessages = "instagram_manage_messages"
	PermissionPagesMetadata     = "pages_manage_metadata"
)

// defaultPage is what an entry of pages starts from.
func defaultPage() Page {
	return Page{Object: "page", Routing: Routing{Mode: ModeHandover, Expiry: Duration(24 * time.Hour)}}
}

// defaultConnection is what an entry of a page's apps starts from.
func defaultConnection() Connection {
	return Connection{
		Tasks:       []string{TaskModerate, TaskMessaging},
		Permissions: []string{PermissionPagesMessaging, PermissionInstagramMessages, PermissionPagesMetadata},
	}
}
