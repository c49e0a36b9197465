package control

import "encoding/binary"

// canonicalVersion is the first byte of the canonical encoding. A new shape
// takes the next number; ParseState keeps reading the old ones.
const canonicalVersion = 1

// Flags of the canonical encoding.
const (
	flagDone = 1 << iota
	flagPlatformInbox
	flagRare
	flagEnd
)

// AppendCanonical appends the canonical encoding of s to b: equal threads have
// equal bytes, in the store and in the state digest. It starts with a version;
// numbers are minimal varints, hashes eight bytes big-endian, lists and strings
// have their length in front.
func (s State) AppendCanonical(b []byte) []byte {
	b = append(b, canonicalVersion, s.flags())
	b = appendNumbers(b, uint64(s.Owner), uint64(s.ExpiresAt), uint64(s.Since), uint64(s.LastUserAt))
	b = binary.BigEndian.AppendUint64(b, s.LastChange)
	b = appendNumbers(b, uint64(s.LastChangeAt), uint64(s.Revision), uint64(s.WindowDays))
	if s.flags()&flagRare != 0 {
		b = s.Rare.append(b)
	}
	return b
}

func (s State) flags() byte {
	var f byte
	if s.Done {
		f |= flagDone
	}
	if s.PlatformInbox {
		f |= flagPlatformInbox
	}
	if s.Rare != nil && !s.Rare.empty() {
		f |= flagRare
	}
	return f
}

func (r *Rare) append(b []byte) []byte {
	b = appendList(b, r.Requests, appendRequest)
	b = appendList(b, r.Held, appendSurvey)
	b = appendList(b, r.Answerable, appendAnswerable)
	b = appendList(b, r.Effects, appendEffect)
	b = appendNumbers(b, uint64(r.UserMenu))
	b = appendHashes(b, r.UserMenuItems)
	return appendList(b, r.HeldEcho, appendHeldEcho)
}

func appendRequest(b []byte, q *Request) []byte {
	b = appendNumbers(b, uint64(q.App), uint64(q.Since))
	return appendBytes(b, q.Metadata)
}

func appendSurvey(b []byte, v *Survey) []byte {
	b = appendNumbers(b, uint64(v.ID), uint64(v.App), uint64(v.ExpiresAt))
	b = appendBytes(b, v.Message)
	return appendHashes(b, v.Questions)
}

func appendAnswerable(b []byte, a *DeliveredSurvey) []byte {
	return appendHashes(appendNumbers(b, uint64(a.ID), uint64(a.App)), a.Questions)
}

func appendEffect(b []byte, e *Effect) []byte {
	b = append(b, byte(e.Kind))
	b = appendNumbers(b, uint64(e.ID), uint64(e.App), uint64(e.Since))
	b = append(b, e.Key[:]...)
	b = appendNumbers(b, uint64(e.KeyUntil))
	b = binary.BigEndian.AppendUint64(b, e.Digest)
	b = append(b, byte(e.Control.Type))
	b = appendNumbers(b, uint64(e.Control.Target), uint64(e.Owner))
	b = appendBytes(b, e.Metadata)
	b = appendBytes(b, e.Message)
	b = appendNumbers(b, uint64(e.Survey))
	b = append(b, boolByte(e.WantInbox), e.Attempt)
	return appendNumbers(b, uint64(e.NextAt))
}

func appendHeldEcho(b []byte, h *HeldEcho) []byte {
	b = appendNumbers(b, h.Input.Sequence, uint64(h.Input.Index), uint64(h.At), uint64(h.Since))
	b = appendBytes(b, h.Mid)
	return append(b, h.Dedupe[:]...)
}

func appendNumbers(b []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func appendHashes(b []byte, hashes []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(hashes)))
	for _, h := range hashes {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

func appendBytes[T ~string | ~[]byte](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func appendList[T any](b []byte, list []T, element func([]byte, *T) []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = element(b, &list[i])
	}
	return b
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}
