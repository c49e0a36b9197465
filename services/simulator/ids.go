package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/baton-router/baton/pkg/control"
)

// idSource makes ids that look random, never repeat and depend on nothing but
// the seed and how many were made. Guarded by Service.mu.
type idSource struct {
	seed           uint64
	next, reserved uint64
}

// digest is 32 bytes that stand for (seed, kind, number).
func digest(seed uint64, kind string, number uint64) [32]byte {
	b := make([]byte, 0, 16+len(kind))
	b = binary.BigEndian.AppendUint64(b, seed)
	b = binary.BigEndian.AppendUint64(b, number)
	return sha256.Sum256(append(b, kind...))
}

// newMid returns a message id that was never given out. Needs mu.
func (s *Service) newMid() string {
	sum := digest(s.config.Seed, "mid", s.newNumber())
	return "m_" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// newToken returns an opaque id for other things. Needs mu.
func (s *Service) newToken(kind string) string {
	sum := digest(s.config.Seed, kind, s.newNumber())
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// newDigits returns a decimal id of 16 digits. Needs mu.
func (s *Service) newDigits(kind string) string {
	sum := digest(s.config.Seed, kind, s.newNumber())
	return decimal(1e15 + binary.BigEndian.Uint64(sum[:8])%9e15)
}

func (s *Service) newNumber() uint64 {
	if s.ids.next >= s.ids.reserved {
		s.ids.reserved += idBlock
		if err := s.file.save(s.snapshot(s.Offset())); err != nil {
			s.logger.Warn("simulator state not written; ids may repeat after a crash", "err", err)
		}
	}
	n := s.ids.next
	s.ids.next++
	return n
}

// name is a person's name: always the same for the same person and seed.
func (s *Service) name(key control.ThreadKey) (first, last string) {
	sum := digest(s.config.Seed, "name", key.Person)
	firsts := [...]string{"Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mei", "Noor", "Omar", "Pia"}
	lasts := [...]string{"Abe", "Blum", "Costa", "Diaz", "Eriksen", "Fox", "Girard", "Haas", "Ito", "Jansen", "Kaya", "Lopez", "Moreau", "Novak", "Okoro", "Pereira"}
	return firsts[sum[0]%16], lasts[sum[1]%16]
}
