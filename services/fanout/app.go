package fanout

import (
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/egress"
	"github.com/baton-router/baton/pkg/roster"
)

// Exhaustion says what happens to an event that its app did not take within
// App.RetryFor, or refused for good.
type Exhaustion uint8

// The policies of App.OnExhausted.
const (
	// SkipEvent makes the event a dead letter; the thread goes on.
	SkipEvent Exhaustion = iota
	// BlockThread keeps the event and all later ones of its thread until the
	// app is resumed or skipped.
	BlockThread
	// PauseApp keeps the event and stops all deliveries to the app.
	PauseApp
)

// App is what the engine needs to know of an app, as of today: a change takes
// effect at once, also for what is already queued.
type App struct {
	ID   control.AppID
	Name string
	// Callback is the URL that deliveries are posted to.
	Callback string
	// VerifyToken is presented in the hub.challenge handshake.
	VerifyToken string
	// Secret signs deliveries; PreviousSecret is valid beside it while the app
	// rotates, nil for none.
	Secret, PreviousSecret []byte
	// Credentials are what the callback wants beside signatures.
	Credentials egress.Credentials
	// EmptyMessaging adds "messaging":[] to standby entries, NumericIDs writes
	// app ids in handover events as numbers. Source: clients.md.
	EmptyMessaging, NumericIDs bool
	// MaxInFlight bounds the POSTs under way; 0 is 4.
	MaxInFlight int
	// MaxBatch bounds the events of one POST; 0 is 20.
	MaxBatch int
	// MaxPerSecond bounds the POSTs a second; 0 for no bound.
	MaxPerSecond int
	// StandbyWithin drops events on the standby channel that are older when
	// their turn comes; 0 delivers all.
	StandbyWithin time.Duration
	// Timeout bounds one POST; 0 is 5 s.
	Timeout time.Duration
	// RetryFor is how long a failing event is tried; 0 is 36 h.
	RetryFor    time.Duration
	OnExhausted Exhaustion
	// WithoutSHA1 and WithoutSHA256 leave one of the two signatures out.
	WithoutSHA1, WithoutSHA256 bool
}

const (
	defaultInFlight = 4
	defaultBatch    = 20
	defaultTimeout  = 5 * time.Second
	defaultRetryFor = 36 * time.Hour
)

// settled returns a with defaults in place of zeroes.
func (a App) settled() App {
	if a.MaxInFlight <= 0 {
		a.MaxInFlight = defaultInFlight
	}
	if a.MaxBatch <= 0 {
		a.MaxBatch = defaultBatch
	}
	if a.Timeout <= 0 {
		a.Timeout = defaultTimeout
	}
	if a.RetryFor <= 0 {
		a.RetryFor = defaultRetryFor
	}
	return a
}

// appOf is what the roster says of an app. One without a callback only calls
// and gets nothing.
func appOf(a *roster.Application) App {
	app := App{
		ID: a.Number, Name: a.Name, Callback: a.CallbackURL, VerifyToken: a.VerifyToken.Value(),
		Secret: []byte(a.Secret.Value()), EmptyMessaging: a.Compat.EmptyMessaging,
		NumericIDs:  a.Compat.NumericAppIDs,
		WithoutSHA1: a.Compat.Signatures == roster.SignaturesSHA256, WithoutSHA256: a.Compat.Signatures == roster.SignaturesSHA1,
		MaxInFlight: a.Delivery.MaxInFlight, MaxBatch: a.Delivery.MaxBatch, Timeout: time.Duration(a.Delivery.Timeout),
		RetryFor: time.Duration(a.Delivery.RetryFor), MaxPerSecond: a.Delivery.MaxPerSecond,
		StandbyWithin: time.Duration(a.Delivery.DropStandbyOlderThan),
	}
	if previous := a.PreviousSecret.Value(); previous != "" {
		app.PreviousSecret = []byte(previous)
	}
	app.Credentials = CredentialsOf(a)
	switch a.Delivery.OnExhausted {
	case roster.ExhaustedBlockThread:
		app.OnExhausted = BlockThread
	case roster.ExhaustedPauseApp:
		app.OnExhausted = PauseApp
	}
	return app
}

// CredentialsOf are what the roster says that an app's callback wants.
func CredentialsOf(a *roster.Application) egress.Credentials {
	return egress.Credentials{Cert: a.TLS.Cert.Value(), Key: a.TLS.Key.Value(), CA: a.TLS.CA.Value(), OAuth: egress.OAuth{
		TokenURL: a.OAuth.TokenURL, ClientID: a.OAuth.ClientID, ClientSecret: a.OAuth.ClientSecret.Value(), Scopes: a.OAuth.Scopes,
		Audience: a.OAuth.Audience, InBody: a.OAuth.Auth == roster.OAuthBody,
	}}
}
