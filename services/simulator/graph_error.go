package simulator

import (
	"errors"
	"fmt"
	"net/http"
)

// graphError is what the platform answers to a call that it refuses. Source:
// protocol 3.
type graphError struct {
	Status  int    // zero means 400
	Type    string // "" means OAuthException
	Code    int
	Subcode int
	Message string
	// Transient tells the caller to try again.
	Transient bool
}

func (e *graphError) Error() string {
	return fmt.Sprintf("simulator: graph error %d/%d: %s", e.Code, e.Subcode, e.Message)
}

func (r *Refusal) graphError() *graphError {
	text := r.Message
	if text == "" {
		text = fmt.Sprintf("(#%d) Refused by the simulator's switch", r.Code)
	}
	return &graphError{Status: r.Status, Code: r.Code, Subcode: r.Subcode, Message: text, Transient: r.Status >= 500}
}

// failure renders an error. One that is not a graphError is a full queue or an
// internal fault.
func (s *Service) failure(err error) (int, any) {
	var e *graphError
	switch {
	case errors.As(err, &e):
	case errors.Is(err, ErrBusy): // nothing was sent, so not a 5xx
		e = &graphError{Code: 613, Transient: true, Message: "(#613) Calls to this api have exceeded the rate limit."}
	default:
		s.logger.Warn("graph call failed", "err", err)
		e = &graphError{
			Status: http.StatusServiceUnavailable, Code: 2, Transient: true,
			Message: "(#2) Service temporarily unavailable",
		}
	}
	body := map[string]any{"message": e.Message, "type": "OAuthException", "code": e.Code, "fbtrace_id": s.trace()}
	if e.Type != "" {
		body["type"] = e.Type
	}
	if e.Subcode != 0 {
		body["error_subcode"] = e.Subcode
	}
	if e.Transient {
		body["is_transient"] = true
	}
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	return status, map[string]any{"error": body}
}

func (s *Service) trace() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "A" + s.newToken("trace")
}

func errParam(format string, args ...any) error {
	return &graphError{Code: 100, Message: "(#100) " + fmt.Sprintf(format, args...)}
}

func errNoObject(node string) error {
	return &graphError{Code: 100, Subcode: 33, Message: fmt.Sprintf(
		"Unsupported request. Object with ID '%s' does not exist, cannot be loaded due to missing permissions, or does not support this operation", node)}
}
