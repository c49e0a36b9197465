package webhook

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the platform's legacy signature
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"
)

// Signer signs bodies with one secret and checks signatures, over and over: the secret's own part of
// the work is done once. Not safe for concurrent use.
type Signer struct {
	blank        bool // made with no secret: nothing fits
	sha1, sha256 hash.Hash
	sum          []byte
	text         []byte
}

// NewSigner makes a signer with a secret, which it does not keep.
func NewSigner(secret []byte) *Signer {
	return &Signer{blank: len(secret) == 0, sha1: hmac.New(sha1.New, secret), sha256: hmac.New(sha256.New, secret)}
}

// Sign1 is the value of X-Hub-Signature for the bytes of a body; the same as the
// function of that name.
func (s *Signer) Sign1(body []byte) string { return s.sign(s.sha1, "sha1=", body) }

// Sign256 is the value of X-Hub-Signature-256 for the bytes of a body; the same
// as the function of that name.
func (s *Signer) Sign256(body []byte) string { return s.sign(s.sha256, "sha256=", body) }

// Verify checks a body's signature; see the function of that name.
func (s *Signer) Verify(body []byte, header256, header1 string) error {
	switch {
	case header256 != "":
		return s.verify(s.sha256, body, header256, "sha256=")
	case header1 != "":
		return s.verify(s.sha1, body, header1, "sha1=")
	}
	return ErrNoSignature
}

func (s *Signer) verify(h hash.Hash, body []byte, header, prefix string) error {
	given, found := strings.CutPrefix(header, prefix)
	if !found || s.blank || len(given) != hex.EncodedLen(h.Size()) {
		return ErrSignature
	}
	s.text = append(s.text[:0], given...)
	n, err := hex.Decode(s.text, s.text)
	if err != nil {
		return ErrSignature
	}
	if s.mac(h, body); !hmac.Equal(s.text[:n], s.sum) {
		return ErrSignature
	}
	return nil
}

// mac leaves the code of a body in s.sum.
func (s *Signer) mac(h hash.Hash, body []byte) {
	h.Reset()
	h.Write(body)
	s.sum = h.Sum(s.sum[:0])
}

func (s *Signer) sign(h hash.Hash, prefix string, body []byte) string {
	s.mac(h, body)
	s.text = hex.AppendEncode(append(s.text[:0], prefix...), s.sum)
	return string(s.text)
}
