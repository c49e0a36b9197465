package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the platform's legacy signature
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Signer signs bodies with one secret, over and over: the secret's own part of
// the work is done once. Not safe for concurrent use.
type Signer struct {
	sha1, sha256 hash.Hash
	sum          []byte
	text         []byte
}

// NewSigner makes a signer with a secret, which it does not keep.
func NewSigner(secret []byte) *Signer {
	return &Signer{sha1: hmac.New(sha1.New, secret), sha256: hmac.New(sha256.New, secret)}
}

// Sign1 is the value of X-Hub-Signature for the bytes of a body; the same as the
// function of that name.
func (s *Signer) Sign1(body []byte) string { return s.sign(s.sha1, "sha1=", body) }

// Sign256 is the value of X-Hub-Signature-256 for the bytes of a body; the same
// as the function of that name.
func (s *Signer) Sign256(body []byte) string { return s.sign(s.sha256, "sha256=", body) }

func (s *Signer) sign(h hash.Hash, prefix string, body []byte) string {
	h.Reset()
	h.Write(body)
	s.sum = h.Sum(s.sum[:0])
	s.text = hex.AppendEncode(append(s.text[:0], prefix...), s.sum)
	return string(s.text)
}
