package roster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// TokenHash is the SHA-256 of an access token: all that the roster keeps of it.
type TokenHash [sha256.Size]byte

// HashToken hashes a token.
func HashToken(token string) TokenHash { return sha256.Sum256([]byte(token)) }

// String is the hash in hex.
func (h TokenHash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes hex.
func (h TokenHash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads hex.
func (h *TokenHash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a token hash has %d hex digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// hashes are the connection's tokens, from the file or from the document. A
// reference that was not resolved hashes as itself, so that a check without
// secrets still finds the same one twice.
func (c *Connection) hashes() []TokenHash {
	hashes := append([]TokenHash(nil), c.Tokens...)
	for _, s := range append([]Secret{c.AccessToken}, c.AccessTokens...) {
		if !s.IsZero() {
			hashes = append(hashes, HashToken(s.identity()))
		}
	}
	return hashes
}
