package control

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// AppID is the decimal id of an app on the platform, or of a built-in inbox.
// Zero is no app: a thread whose owner is zero is idle.
type AppID uint64

// The inboxes that every page has as built-in receivers. Source: protocol 1.
const (
	PageInbox      AppID = 263902037430900
	InstagramInbox AppID = 1217981644879628
	// PageInboxShort is the 14-digit id that the platform's echo
	// documentation prints; it is accepted on the way in and never emitted.
	PageInboxShort AppID = 26390203743090
)

// IsInbox reports whether a is one of the built-in inboxes.
func (a AppID) IsInbox() bool { return a == PageInbox || a == InstagramInbox }

// String is the decimal form used on the wire; "" for no app.
func (a AppID) String() string {
	if a == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(a), 10)
}

// ParseID reads a decimal id as the platform writes them: digits only, no
// leading zero, not zero, at most 2^64-1. ok is false for anything else.
func ParseID(s string) (id uint64, ok bool) {
	if s == "" || s[0] == '0' {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 10, 64)
	return id, err == nil
}

// ThreadKey names a thread: the asset (Page or Instagram account) and the
// person's id scoped to it. A zero Person is the page itself: page-level events
// such as role changes are filed under it.
type ThreadKey struct {
	Asset  uint64
	Person uint64
}

// Less orders keys by asset, then person: the order of the state digest.
func (k ThreadKey) Less(o ThreadKey) bool {
	if k.Asset != o.Asset {
		return k.Asset < o.Asset
	}
	return k.Person < o.Person
}

// Millis is a point in time or a span in milliseconds; points count from the
// Unix epoch. Zero means "never" for a point.
type Millis int64

// Spans used by the rules, in milliseconds.
const (
	Second Millis = 1000
	Minute        = 60 * Second
	Hour          = 60 * Minute
	Day           = 24 * Hour
	// RepeatWindow is how long a control call repeated by its caller is
	// answered with success without a second event. Source: override 3.
	RepeatWindow = 5 * Minute
	// MaxExtension is the longest extension of control. Source: protocol 1.
	MaxExtension = 7 * Day
	// SendForwardWithin is how long after acceptance a send may still be
	// forwarded, SendUnknownAfter when its outcome is declared unknown.
	SendForwardWithin = 5 * Second
	SendUnknownAfter  = 30 * Second
	// EchoHeldFor bounds how long an echo without a token waits for the
	// outcome of an open send on its thread.
	EchoHeldFor = 5 * Second
)

// Bounds of the rare parts of a thread.
const (
	MaxRequests   = 32
	MaxSurveys    = 8
	MaxMetadata   = 2000 // characters of a handover's metadata
	MaxAppMessage = 1000 // characters of a message's metadata
	MaxOpenSends  = 64   // sends of a thread without outcome
	MaxHeldEchoes = 16   // echoes that wait for one
)

// Position counts the events of a partition's log, from 1.
type Position uint64

// Ref points at a webhook event on BATON_IN: the stream sequence of the message
// that carries it and its index in that message.
type Ref struct {
	Sequence uint64
	Index    uint32
}

// PayloadHash identifies a button's or menu item's payload: the first eight
// bytes of its SHA-256. The empty payload hashes to zero, which matches nothing.
func PayloadHash(payload string) uint64 {
	if payload == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(payload))
	return binary.BigEndian.Uint64(sum[:8])
}
