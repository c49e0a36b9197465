package control

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
)

// ErrBadState is returned by ParseState for bytes that AppendCanonical does not
// write: a wrong version, a number that is not minimal, something missing or
// left over.
var ErrBadState = errors.New("control: not a canonical state")

// ParseState is the strict inverse of AppendCanonical. The State shares nothing
// with b. The only error is ErrBadState.
func ParseState(b []byte) (State, error) {
	p := parser{rest: b}
	version, flags := p.byte(), p.byte()
	if version != canonicalVersion || flags >= flagEnd {
		return State{}, ErrBadState
	}
	s := State{Done: flags&flagDone != 0, PlatformInbox: flags&flagPlatformInbox != 0}
	s.Owner, s.ExpiresAt, s.Since, s.LastUserAt = p.app(), p.millis(), p.millis(), p.millis()
	s.LastChange, s.LastChangeAt = p.hash(), p.millis()
	s.Revision, s.WindowDays = p.uint32(), p.uint8()
	if flags&flagRare != 0 && !p.failed {
		s.Rare, p = parseRare(p.rest)
	}
	if p.failed || len(p.rest) != 0 {
		return State{}, ErrBadState
	}
	return s, nil
}

// parseRare reads with a parser of its own: the lists make it escape to the
// heap, and nearly all states have none.
func parseRare(b []byte) (*Rare, parser) {
	p := &parser{rest: b}
	return p.rare(), *p
}

// parser reads from rest; after a failure it reads zeros.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) rare() *Rare {
	r := &Rare{
		Requests:      parseList(p, (*parser).request),
		Held:          parseList(p, (*parser).survey),
		Answerable:    parseList(p, (*parser).answerable),
		Effects:       parseList(p, (*parser).effect),
		UserMenu:      p.app(),
		UserMenuItems: p.hashes(),
		HeldEcho:      parseList(p, (*parser).heldEcho),
	}
	if r.empty() {
		p.fail()
	}
	return r
}

func (p *parser) request() Request {
	return Request{App: p.app(), Since: p.millis(), Metadata: string(p.bytes())}
}

func (p *parser) survey() Survey {
	return Survey{ID: p.position(), App: p.app(), ExpiresAt: p.millis(), Message: p.bytes(), Questions: p.hashes()}
}

func (p *parser) answerable() DeliveredSurvey {
	return DeliveredSurvey{ID: p.position(), Answerable: Answerable{App: p.app(), Questions: p.hashes()}}
}

func (p *parser) effect() Effect {
	return Effect{
		Kind: EffectKind(p.byte()), ID: p.position(), App: p.app(), Since: p.millis(),
		Key: p.key(), KeyUntil: p.millis(), Digest: p.hash(),
		Control: SendControl{Type: ControlType(p.byte()), Target: p.app()},
		Owner:   p.app(), Metadata: string(p.bytes()), Message: p.bytes(), Survey: p.position(),
		WantInbox: p.bool(), Attempt: p.byte(), NextAt: p.millis(),
	}
}

func (p *parser) heldEcho() HeldEcho {
	return HeldEcho{
		Input: Ref{Sequence: p.number(), Index: p.uint32()},
		At:    p.millis(), Since: p.millis(), Mid: string(p.bytes()), Dedupe: p.key(),
	}
}

func (p *parser) fail() {
	p.failed, p.rest = true, nil
}

// take is the next n bytes, nil when there are fewer.
func (p *parser) take(n uint64) []byte {
	if n > uint64(len(p.rest)) {
		p.fail()
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) bool() bool {
	b := p.byte()
	if b > 1 {
		p.fail()
	}
	return b == 1
}

func (p *parser) number() uint64 {
	n, size := uvarint(p.rest)
	if size <= 0 || size > 1 && p.rest[size-1] == 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

// uvarint is binary.Uvarint, without a loop where eight bytes can be looked at: a
// start parses the states of all threads, and most of a state is times and ids of
// six or seven bytes.
func uvarint(b []byte) (n uint64, size int) {
	if len(b) < 8 {
		return binary.Uvarint(b)
	}
	word := binary.LittleEndian.Uint64(b)
	ends := ^word & 0x8080808080808080 // bytes that may be the last
	if ends == 0 {
		return binary.Uvarint(b)
	}
	word &= ends ^ (ends - 1) // up to the first of them
	word = word&0x007f007f007f007f | word&0x7f007f007f007f00>>1
	word = word&0x00003fff00003fff | word&0x3fff00003fff0000>>2
	word = word&0x000000000fffffff | word&0x0fffffff00000000>>4
	return word, bits.TrailingZeros64(ends)/8 + 1
}

func (p *parser) app() AppID         { return AppID(p.number()) }
func (p *parser) position() Position { return Position(p.number()) }

// millis reads a time; the conversion is the inverse of the writer's, for
// negative values too.
func (p *parser) millis() Millis { return Millis(p.number()) }

func (p *parser) uint32() uint32 {
	n := p.number()
	if n > math.MaxUint32 {
		p.fail()
	}
	return uint32(n)
}

func (p *parser) uint8() uint8 {
	n := p.number()
	if n > math.MaxUint8 {
		p.fail()
	}
	return uint8(n)
}

func (p *parser) hash() uint64 {
	if b := p.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (p *parser) key() (key [16]byte) {
	copy(key[:], p.take(16))
	return key
}

// bytes is a copy, nil when empty.
func (p *parser) bytes() []byte {
	return append([]byte(nil), p.take(p.number())...)
}

func (p *parser) hashes() []uint64 {
	return parseList(p, (*parser).hash)
}

// parseList reads a list. An element has at least one byte, so a length beyond
// the rest is a lie and costs nothing.
func parseList[T any](p *parser, element func(*parser) T) []T {
	n := p.number()
	if n > uint64(len(p.rest)) {
		p.fail()
	}
	if p.failed || n == 0 {
		return nil
	}
	var list []T
	for range n {
		list = append(list, element(p))
		if p.failed {
			return nil
		}
	}
	return list
}
