package traffic

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// Signer signs bodies with one secret; safe for concurrent use.
type Signer struct{ pool sync.Pool }

// NewSigner returns a signer.
func NewSigner(secret string) *Signer {
	key := []byte(secret)
	return &Signer{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

// Sign returns the value of X-Hub-Signature-256.
func (s *Signer) Sign(body []byte) string {
	var sum [sha256.Size]byte
	return "sha256=" + hex.EncodeToString(s.sum(sum[:0], body))
}

// Signed reports whether signature is that of body.
func (s *Signer) Signed(body, signature []byte) bool {
	var sum [sha256.Size]byte
	text := make([]byte, 0, 80)
	text = hex.AppendEncode(append(text, "sha256="...), s.sum(sum[:0], body))
	return hmac.Equal(text, signature)
}

func (s *Signer) sum(dst, body []byte) []byte {
	h, _ := s.pool.Get().(hash.Hash)
	defer s.pool.Put(h)
	h.Reset()
	h.Write(body)
	return h.Sum(dst)
}
