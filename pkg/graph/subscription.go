package graph

import "encoding/json"

// SubscribedApp is an app in the list of subscribed_apps.
type SubscribedApp struct {
	Category string   `json:"category"`
	Link     string   `json:"link"`
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	Fields   []string `json:"subscribed_fields"`
}

// AppSubscription is an entry in the list of an app's subscriptions.
type AppSubscription struct {
	Object      string            `json:"object"`
	CallbackURL string            `json:"callback_url"`
	Active      bool              `json:"active"`
	Fields      []SubscribedField `json:"fields"`
}

// SubscribedField is a field of an AppSubscription.
type SubscribedField struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// TokenInfo is the answer of debug_token. The zero value is a token that is not
// valid.
type TokenInfo struct {
	AppID       string `json:"app_id,omitempty"`
	Type        string `json:"type,omitempty"`
	Application string `json:"application,omitempty"`
	// Expires is in seconds since the Unix epoch; zero for never. It stays out
	// for a token that is not valid.
	Expires   *int64       `json:"expires_at,omitempty"`
	Fault     *TokenFault  `json:"error,omitempty"`
	Valid     bool         `json:"is_valid"`
	ProfileID string       `json:"profile_id,omitempty"`
	Scopes    []string     `json:"scopes"`
	Granular  []TokenScope `json:"granular_scopes,omitempty"`
}

// TokenFault says why a token is not valid.
type TokenFault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Subcode int    `json:"subcode,omitempty"`
}

// TokenScope is a permission and the assets for which it counts.
type TokenScope struct {
	Scope   string   `json:"scope"`
	Targets []string `json:"target_ids"`
}

// InvalidTokenInfo is the answer about a token that is refused with e.
func InvalidTokenInfo(e *Error) TokenInfo {
	return TokenInfo{Fault: &TokenFault{Code: e.Code, Message: e.Message, Subcode: e.Subcode}}
}

// Body is the answer as JSON.
func (t TokenInfo) Body() []byte {
	if t.Scopes == nil {
		t.Scopes = []string{}
	}
	return marshal(map[string]json.RawMessage{"data": marshal(t)})
}
