package ownership

import "github.com/baton-router/baton/pkg/control"

// maxWaiting bounds the sends of one thread that wait for the platform's side;
// Config.QueueCommands those of a partition.
const maxWaiting = 64

// waitsForSide parks a send while the platform has not confirmed that Baton's
// side has the thread; it is decided when the side is confirmed or refused, and
// answered 503 when its deadline passes first. Source: protocol 12.11.
func (h *holder) waitsForSide(s *step, c call) bool {
	if c.req.GetSend() == nil || !openSide(s.state(c.key)) {
		return false
	}
	if len(h.waiting[c.key]) >= maxWaiting || h.parked >= h.cfg.QueueCommands {
		h.unavailable(c, "the platform has not yet confirmed that the thread left the inbox")
		return true
	}
	h.waiting[c.key] = append(h.waiting[c.key], c)
	h.parked++
	return true
}

func openSide(st control.State) bool {
	if st.Rare == nil {
		return false
	}
	for _, e := range st.Rare.Effects {
		if e.Kind == control.EffectSide && !e.WantInbox && e.Attempt == 0 {
			return true
		}
	}
	return false
}

// resumeWaiting queues the parked sends of a thread whose side is settled.
func (h *holder) resumeWaiting(key control.ThreadKey) {
	if len(h.waiting) == 0 || openSide(h.state(key)) {
		return
	}
	h.ready = append(h.ready, h.waiting[key]...)
	h.parked -= len(h.waiting[key])
	delete(h.waiting, key)
}

// expireWaiting answers the parked sends whose deadline has passed.
func (h *holder) expireWaiting() {
	now := h.deps.Clock.Now()
	for key, calls := range h.waiting {
		kept := calls[:0]
		for _, c := range calls {
			if now.After(c.expires) {
				h.unavailable(c, "the platform has not confirmed that the thread left the inbox")
				h.parked--
				continue
			}
			kept = append(kept, c)
		}
		if h.waiting[key] = kept; len(kept) == 0 {
			delete(h.waiting, key)
		}
	}
}
