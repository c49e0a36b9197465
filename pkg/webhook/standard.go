package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"strconv"
)

// Header names of Standard Webhooks, in the canonical form of HTTP/1.1.
// Source: the Standard Webhooks specification 1.0.0.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// StandardKey is the key that a secret stands for: what follows "whsec_" in
// base64, or the bytes of any other text.
func StandardKey(secret []byte) []byte {
	encoded, ok := bytes.CutPrefix(secret, []byte("whsec_"))
	if !ok {
		return secret
	}
	key, err := base64.StdEncoding.DecodeString(string(encoded))
	if err != nil || len(key) == 0 {
		return secret
	}
	return key
}

// StandardSigner makes the signatures of Standard Webhooks, one for each secret
// that is valid. Not safe for concurrent use.
type StandardSigner struct {
	hashes []hash.Hash
	head   []byte
	sum    []byte
	text   []byte
}

// NewStandardSigner makes a signer with the secrets, the newest first; empty ones
// do not count. It does not keep them.
func NewStandardSigner(secrets ...[]byte) *StandardSigner {
	s := &StandardSigner{}
	for _, secret := range secrets {
		if len(secret) > 0 {
			s.hashes = append(s.hashes, hmac.New(sha256.New, StandardKey(secret)))
		}
	}
	return s
}

// Sign returns the value of webhook-signature for a message: its id, when it is
// sent in seconds since the Unix epoch, and the bytes of its body.
func (s *StandardSigner) Sign(id string, seconds int64, body []byte) string {
	s.head = append(append(s.head[:0], id...), '.')
	s.head = append(strconv.AppendInt(s.head, seconds, 10), '.')
	s.text = s.text[:0]
	for i, h := range s.hashes {
		h.Reset()
		h.Write(s.head)
		h.Write(body)
		s.sum = h.Sum(s.sum[:0])
		if i > 0 {
			s.text = append(s.text, ' ')
		}
		s.text = base64.StdEncoding.AppendEncode(append(s.text, "v1,"...), s.sum)
	}
	return string(s.text)
}
