package control

// State is one thread. The zero value is an idle thread that nobody has written
// to. It is a value: copying it is a snapshot. Rare is shared between copies
// and never changed; Evolve replaces it.
type State struct {
	// Owner is the app or inbox in control, zero when the thread is idle.
	Owner AppID
	// ExpiresAt is when control lapses without further activity; zero when
	// idle.
	ExpiresAt Millis
	// Since is when Owner gained control; for an idle thread, when it last
	// became idle.
	Since Millis
	// LastUserAt is the timestamp of the person's latest activity; zero when
	// none is known.
	LastUserAt Millis
	// LastChange fingerprints the latest control event (verb, caller, target,
	// metadata), LastChangeAt is when it was decided. See override 3.
	LastChange   uint64
	LastChangeAt Millis
	// Revision counts the changes of owner.
	Revision uint32
	// WindowDays is the control window granted by an ad, 1 to 30; zero for
	// the page's expiry.
	WindowDays uint8
	// Done is set while the thread is marked done in the inbox (12.13).
	Done bool
	// PlatformInbox is the side that the platform has confirmed or reported:
	// true when its inbox controls the thread there.
	PlatformInbox bool
	// Rare holds what few threads have; nil for nearly all.
	Rare *Rare
}

// Rare is the immutable part of a State that few threads have.
type Rare struct {
	// Requests wait for control, oldest first, one per app, at most
	// MaxRequests.
	Requests []Request
	// Held are surveys that wait for the thread to become idle, oldest
	// first, at most MaxSurveys.
	Held []Survey
	// Answerable are surveys delivered on this thread, latest last, at most
	// MaxSurveys: an answer belongs to the creator of the one it matches.
	Answerable []DeliveredSurvey
	// Effects are open: begun by one event, to be closed by its outcome.
	Effects []Effect
	// UserMenu is the app that set the person's own menu, zero for none;
	// UserMenuItems are the hashes of its payloads, ascending.
	UserMenu      AppID
	UserMenuItems []uint64
	// HeldEcho is an echo that waits for the outcome of an open send.
	HeldEcho []HeldEcho
}

// Request is an app waiting for control.
type Request struct {
	App      AppID
	Since    Millis
	Metadata string
}

// Survey is a customer feedback template that waits for an idle thread.
type Survey struct {
	ID        Position // of the event that held it
	App       AppID
	ExpiresAt Millis
	// Message is the message object of the send, as JSON.
	Message   []byte
	Questions []uint64 // PayloadHash of each question id, ascending
}

// Answerable is a survey whose answers go to its creator.
type Answerable struct {
	App       AppID
	Questions []uint64
}

// DeliveredSurvey may be answered. ID is the position of the event that began
// its delivery.
type DeliveredSurvey struct {
	ID Position
	Answerable
}

// EffectKind says what an open effect waits for.
type EffectKind uint8

// The kinds of open effects.
const (
	// EffectSend is a send that its graphapi node forwards.
	EffectSend EffectKind = iota + 1
	// EffectSurvey is a survey that the partition's holder forwards.
	EffectSurvey
	// EffectSide is a side (inbox or Baton) to mirror to the platform.
	EffectSide
)

// Effect is begun by one event and closed by another.
type Effect struct {
	Kind EffectKind
	// ID is the position of the event that opened it, App the sending app, or
	// the new owner of a mirrored side.
	ID  Position
	App AppID
	// Since is when it was opened.
	Since Millis
	// Key is the idempotency key of the send, zero when it had none;
	// KeyUntil is when it lapses, Digest the send's body digest.
	Key      [16]byte
	KeyUntil Millis
	Digest   uint64
	// Control is the thread_control to execute when the send is confirmed.
	Control SendControl
	// Owner is who had control when the send was decided, Metadata the app's
	// own message metadata; both serve its echo.
	Owner    AppID
	Metadata string
	// Message is the message object to forward, Survey the position that held
	// it (EffectSurvey).
	Message []byte
	Survey  Position
	// WantInbox is the wanted side (EffectSide).
	WantInbox bool
	// Attempt counts refused mirrors, for the growing delay; NextAt is when
	// the holder may try again.
	Attempt uint8
	NextAt  Millis
}

// HeldEcho is an echo of Baton's app that named no send while one was open.
type HeldEcho struct {
	Input  Ref
	At     Millis
	Since  Millis
	Mid    string
	Dedupe [16]byte
}

// Idle reports whether no app has control.
func (s State) Idle() bool { return s.Owner == 0 }
