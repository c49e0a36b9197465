package roster

import "time"

// App is an app as the file and the stored document describe it.
type App struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name,omitempty"`
	// Secret signs what Baton sends to the app and checks appsecret_proof.
	Secret Secret `yaml:"secret" json:"secret"`
	// PreviousSecret is valid beside Secret while the app rotates: it still
	// proves calls, and Standard Webhooks signatures are made with both.
	PreviousSecret Secret `yaml:"previous_secret" json:"previous_secret,omitzero"`
	// CallbackURL receives the app's webhooks; empty for an app that only
	// calls.
	CallbackURL string `yaml:"callback_url" json:"callback_url,omitempty"`
	// VerifyToken is sent in the hub.challenge handshake.
	VerifyToken Secret `yaml:"verify_token" json:"verify_token,omitzero"`
	// Fields are the app-level subscriptions.
	Fields []string `yaml:"fields" json:"fields,omitempty"`
	// InstagramFields are the app-level subscriptions for Instagram accounts
	// where they differ: they are set at run time only. nil: Fields serve both.
	InstagramFields []string `yaml:"-" json:"instagram_fields,omitzero"`
	// Features granted by review: human_agent.
	Features []string `yaml:"features" json:"features,omitempty"`
	// Status is live, or development: the app may message only its testers.
	Status                string   `yaml:"status" json:"status,omitempty"`
	Testers               []string `yaml:"testers" json:"testers,omitempty"`
	RequireAppsecretProof bool     `yaml:"require_appsecret_proof" json:"require_appsecret_proof,omitempty"`
	Compat                Compat   `yaml:"compat" json:"compat,omitzero"`
	Delivery              Delivery `yaml:"delivery" json:"delivery"`
	// TLS is how Baton and the callback prove themselves to each other.
	TLS CallbackTLS `yaml:"tls" json:"tls,omitzero"`
	// OAuth gets an access token for what is posted to the callback.
	OAuth OAuth `yaml:"oauth" json:"oauth,omitzero"`
	// RateLimit bounds the app's Graph calls.
	RateLimit RateLimit `yaml:"rate_limit" json:"rate_limit,omitzero"`
	// PassThrough are the edges that Baton hands to the platform without
	// interpreting them; nil for the default list, empty for none.
	PassThrough []string `yaml:"pass_through" json:"pass_through,omitzero"`
}

// CallbackTLS are PEM texts, each ordinarily as file:PATH; empty for none.
type CallbackTLS struct {
	// Cert and Key are the client certificate that Baton shows.
	Cert Secret `yaml:"cert" json:"cert,omitzero"`
	Key  Secret `yaml:"key" json:"key,omitzero"`
	// CA are the roots that sign the callback's certificate, instead of the
	// system's.
	CA Secret `yaml:"ca" json:"ca,omitzero"`
}

// OAuth are client credentials; empty for none.
type OAuth struct {
	TokenURL     string   `yaml:"token_url" json:"token_url,omitempty"`
	ClientID     string   `yaml:"client_id" json:"client_id,omitempty"`
	ClientSecret Secret   `yaml:"client_secret" json:"client_secret,omitzero"`
	Scopes       []string `yaml:"scopes" json:"scopes,omitempty"`
	Audience     string   `yaml:"audience" json:"audience,omitempty"`
	// Auth says how the token endpoint is shown the secret: basic or body.
	Auth string `yaml:"auth" json:"auth,omitempty"`
}

// IsZero reports whether there are none.
func (o OAuth) IsZero() bool {
	return o.TokenURL == "" && o.ClientID == "" && o.ClientSecret.IsZero() && len(o.Scopes) == 0 && o.Audience == "" && o.Auth == ""
}

// Ways of OAuth.Auth; empty is basic.
const (
	OAuthBasic = "basic"
	OAuthBody  = "body"
)

// Compat bends what an app receives for clients that need it.
type Compat struct {
	NumericAppIDs   bool `yaml:"numeric_app_ids" json:"numeric_app_ids,omitempty"`
	EmptyMessaging  bool `yaml:"empty_messaging" json:"empty_messaging,omitempty"`
	StandbyExtended bool `yaml:"standby_extended" json:"standby_extended,omitempty"`
	// Signatures is sha256 or sha1 for an app that wants only one of the two;
	// empty or both sends both.
	Signatures string `yaml:"signatures" json:"signatures,omitempty"`
}

// Values of Compat.Signatures.
const (
	SignaturesBoth   = "both"
	SignaturesSHA256 = "sha256"
	SignaturesSHA1   = "sha1"
)

// Delivery bounds the deliveries to an app.
type Delivery struct {
	// MaxInFlight requests at once, 1 to 1000.
	MaxInFlight int `yaml:"max_in_flight" json:"max_in_flight"`
	// MaxBatch events in one request, 1 to 1000.
	MaxBatch int `yaml:"max_batch" json:"max_batch"`
	// Timeout of a request, 100 ms to 60 s.
	Timeout Duration `yaml:"timeout" json:"timeout"`
	// RetryFor is how long an event is tried.
	RetryFor Duration `yaml:"retry_for" json:"retry_for"`
	// MaxPerSecond requests a second, 1 to 100,000; 0 for no bound.
	MaxPerSecond int `yaml:"max_per_second" json:"max_per_second,omitempty"`
	// DropStandbyOlderThan drops events on the standby channel that could not
	// be delivered in that time, 1 s to 720 h; 0 delivers all of them.
	DropStandbyOlderThan Duration `yaml:"drop_standby_older_than" json:"drop_standby_older_than,omitempty"`
	// OnExhausted is skip, block_thread or pause_app.
	OnExhausted string `yaml:"on_exhausted" json:"on_exhausted"`
}

// RateLimit is a token bucket over an app's Graph calls; zero PerSecond is no
// limit.
type RateLimit struct {
	PerSecond int `yaml:"per_second" json:"per_second,omitempty"`
	Burst     int `yaml:"burst" json:"burst,omitempty"`
}

// What an app does when its delivery policy is exhausted.
const (
	ExhaustedSkip        = "skip"
	ExhaustedBlockThread = "block_thread"
	ExhaustedPauseApp    = "pause_app"
)

// An app's status.
const (
	StatusLive        = "live"
	StatusDevelopment = "development"
)

// FeatureHumanAgent lets an app send with the HUMAN_AGENT tag.
const FeatureHumanAgent = "human_agent"

// defaultApp is what an entry of apps starts from.
func defaultApp() App {
	return App{
		Status: StatusLive,
		Delivery: Delivery{
			MaxInFlight: 4, MaxBatch: 20, Timeout: Duration(5 * time.Second),
			RetryFor: Duration(36 * time.Hour), OnExhausted: ExhaustedSkip,
		},
	}
}
