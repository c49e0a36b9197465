package graph

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Token is the access token of a request: the parameter access_token from
// wherever it came, else the Authorization header (Bearer or OAuth). "" when
// there is none.
func (p Params) Token(authorization string) string {
	if token := strings.TrimSpace(p.Text("access_token")); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(strings.TrimSpace(authorization), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "OAuth") {
		return strings.TrimSpace(token)
	}
	return ""
}

// SplitAppToken takes an app token, APPID|SECRET, apart. ok is false for any
// other token.
func SplitAppToken(token string) (app uint64, secret string, ok bool) {
	id, secret, found := strings.Cut(token, "|")
	app, ok = parseID(id)
	if !found || !ok || secret == "" {
		return 0, "", false
	}
	return app, secret, true
}

// Proof is the appsecret_proof of a token: HMAC-SHA256 keyed with the app's
// secret, in lower-case hexadecimal.
func Proof(secret, token string) string {
	return hex.EncodeToString(proof(secret, token))
}

func proof(secret, token string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(token))
	return h.Sum(nil)
}

// CheckProof verifies the parameter appsecret_proof in constant time. It is
// verified whenever it is present; without one the call is refused only when
// required. The error is an *Error.
func (p Params) CheckProof(secret, token string, required bool) error {
	if !p.Has("appsecret_proof") {
		if required {
			return MissingProof()
		}
		return nil
	}
	given, err := hex.DecodeString(p.Text("appsecret_proof"))
	if err != nil || secret == "" || !hmac.Equal(given, proof(secret, token)) {
		return WrongProof()
	}
	return nil
}
