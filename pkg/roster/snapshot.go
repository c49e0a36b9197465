package roster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/delivery"
)

// Snapshot is one version of the roster, compiled for use: immutable, safe for
// concurrent use, and without locks. What it returns is shared and must not be
// changed.
type Snapshot struct {
	version  uint64
	document Document
	batonApp control.AppID
	apps     map[control.AppID]*Application
	assets   map[uint64]*Asset
	callers  map[TokenHash]*Caller
	// appIDs and assetIDs are ascending.
	appIDs   []control.AppID
	assetIDs []uint64
	retry    time.Duration
}

// Version is the roster's version on baton.roster.
func (s *Snapshot) Version() uint64 { return s.version }

// Document is the document that s was compiled from.
func (s *Snapshot) Document() Document { return s.document }

// BatonApp is Baton's own app on the platform; zero with the simulator when
// none is configured.
func (s *Snapshot) BatonApp() control.AppID { return s.batonApp }

// Apps lists all apps, ascending.
func (s *Snapshot) Apps() []control.AppID { return s.appIDs }

// Assets lists all Pages and Instagram accounts, ascending.
func (s *Snapshot) Assets() []uint64 { return s.assetIDs }

// LongestRetry is the longest retry_for of any app.
func (s *Snapshot) LongestRetry() time.Duration { return s.retry }

// Page is the rules of an asset; nil for an unknown one.
func (s *Snapshot) Page(asset uint64) *control.Page {
	if a, ok := s.assets[asset]; ok {
		return a.Rules
	}
	return nil
}

// Delivery is the delivery rules of an asset; nil for an unknown one.
func (s *Snapshot) Delivery(asset uint64) *delivery.Page {
	if a, ok := s.assets[asset]; ok {
		return a.Delivery
	}
	return nil
}

// Asset is a Page or Instagram account.
func (s *Snapshot) Asset(id uint64) (*Asset, bool) {
	a, ok := s.assets[id]
	return a, ok
}

// App is an app.
func (s *Snapshot) App(id control.AppID) (*Application, bool) {
	a, ok := s.apps[id]
	return a, ok
}

// Caller is whose token it is. The look-up goes by the token's SHA-256, so its
// time tells nothing about other tokens.
func (s *Snapshot) Caller(token string) (*Caller, bool) {
	if token == "" {
		return nil, false
	}
	c, ok := s.callers[HashToken(token)]
	return c, ok
}

// Revoked reports whether the token was valid once and was taken back.
func (s *Snapshot) Revoked(token string) bool {
	return slices.Contains(s.document.Revoked, HashToken(token))
}

// Asset is a compiled Page or Instagram account.
type Asset struct {
	ID     uint64
	Object control.Object
	Name   string
	// AccessToken is Baton's own token towards the platform.
	AccessToken Secret
	// LinkedPage is the Page that an Instagram account belongs to, or zero.
	LinkedPage uint64
	Rules      *control.Page
	Delivery   *delivery.Page
	// Connections are those of the document, the disconnected ones included.
	Connections []Connection
	// Profile are the page-level properties.
	Profile []ProfileItem
}

// Named reports whether a node of a request path means this asset: its own id,
// or that of the Page it is linked to. Source: protocol 12.20.
func (a *Asset) Named(node uint64) bool {
	return node != 0 && (node == a.ID || node == a.LinkedPage)
}

// Node is the id under which the platform is called about this asset: for an
// Instagram account the Page that it is linked to. Source: protocol 2.0.
func (a *Asset) Node() uint64 {
	if a.LinkedPage != 0 {
		return a.LinkedPage
	}
	return a.ID
}

// Connection is the app's connection to the asset, disconnected or not.
func (a *Asset) Connection(app control.AppID) (*Connection, bool) {
	id := app.String()
	i := slices.IndexFunc(a.Connections, func(c Connection) bool { return c.App == id })
	if i < 0 {
		return nil, false
	}
	return &a.Connections[i], true
}

// Application is a compiled app.
type Application struct {
	App
	// Number is the app's id.
	Number control.AppID
	// PassThroughEdges are the edges handed to the platform uninterpreted.
	PassThroughEdges map[string]bool
}

// ProofFits checks an appsecret_proof: the hex HMAC-SHA256 of the token under
// the app's secret, or under its previous one while it rotates. Constant time.
func (a *Application) ProofFits(token, proof string) bool {
	given, err := hex.DecodeString(proof)
	if err != nil {
		return false
	}
	fits := false
	for _, secret := range []Secret{a.Secret, a.PreviousSecret} {
		if secret.Value() == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret.Value()))
		mac.Write([]byte(token))
		fits = hmac.Equal(mac.Sum(nil), given) || fits
	}
	return fits
}

// SecretFits reports in constant time whether secret is the app's, or its
// previous one while it rotates.
func (a *Application) SecretFits(secret string) bool {
	given, fits := NewSecret(secret), false
	for _, s := range []Secret{a.Secret, a.PreviousSecret} {
		fits = s.Value() != "" && s.Equal(given) || fits
	}
	return fits
}

// Caller is whom a token names: an app on an asset.
type Caller struct {
	App   *Application
	Asset *Asset
	// Connected is false for an app that left at run time: its token may only
	// connect it again.
	Connected   bool
	tasks       []string
	permissions []string
}

// HasTask reports whether the person behind the token has the task.
func (c *Caller) HasTask(task string) bool { return slices.Contains(c.tasks, task) }

// HasPermission reports whether the token carries the permission.
func (c *Caller) HasPermission(permission string) bool {
	return slices.Contains(c.permissions, permission)
}

// Permissions are those that the token carries.
func (c *Caller) Permissions() []string { return c.permissions }

// MessagingPermission is the permission that messaging needs on the asset.
func (c *Caller) MessagingPermission() string {
	if c.Asset.Object == control.ObjectInstagram {
		return PermissionInstagramMessages
	}
	return PermissionPagesMessaging
}
