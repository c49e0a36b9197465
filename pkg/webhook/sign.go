package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the platform's legacy signature
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"net/url"
)

// Header names of the signatures.
const (
	Header256 = "X-Hub-Signature-256"
	Header1   = "X-Hub-Signature"
)

// The ways in which Verify refuses.
var (
	// ErrNoSignature: neither header is there.
	ErrNoSignature = errors.New("webhook: no signature")
	// ErrSignature: the signature does not fit the body, is no signature at
	// all, or there is no secret to check it with.
	ErrSignature = errors.New("webhook: wrong signature")
)

// Sign256 is the value of X-Hub-Signature-256 for the bytes of a body.
func Sign256(secret, body []byte) string {
	return "sha256=" + hex.EncodeToString(mac(sha256.New, secret, body))
}

// Sign1 is the value of the legacy X-Hub-Signature for the bytes of a body.
func Sign1(secret, body []byte) string {
	return "sha1=" + hex.EncodeToString(mac(sha1.New, secret, body))
}

func mac(algorithm func() hash.Hash, secret, body []byte) []byte {
	h := hmac.New(algorithm, secret)
	h.Write(body)
	return h.Sum(nil)
}

// Verify checks a body's signature in constant time: header256, or header1 when
// there is no header256. It returns nil, ErrNoSignature or ErrSignature. Who
// checks many bodies keeps a Signer.
func Verify(secret, body []byte, header256, header1 string) error {
	return NewSigner(secret).Verify(body, header256, header1)
}

// Challenge answers the handshake of a webhook's registration: the challenge to
// be sent back as it is. ok is false when the query is no such handshake or the
// token is not verifyToken; an empty verifyToken fits nothing.
func Challenge(q url.Values, verifyToken string) (challenge string, ok bool) {
	token := q.Get("hub.verify_token")
	same := subtle.ConstantTimeCompare([]byte(token), []byte(verifyToken)) == 1
	challenge = q.Get("hub.challenge")
	if q.Get("hub.mode") != "subscribe" || verifyToken == "" || !same || challenge == "" {
		return "", false
	}
	return challenge, true
}
