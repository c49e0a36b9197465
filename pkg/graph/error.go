package graph

import (
	"errors"
	"fmt"
	"strings"
)

// Error is the platform's error object. It is a Go error; handle it by
// pointer and do not change one that was returned.
type Error struct {
	// Status is the HTTP status; see StatusOf.
	Status int
	// Message is printed as it stands: with the "(#code) " in front of it
	// where the platform puts one.
	Message string
	// Type is OAuthException for nearly all.
	Type          string
	Code, Subcode int // Subcode zero is left out
	// UserTitle and UserMsg are left out when empty.
	UserTitle, UserMsg string
	IsTransient        bool
	// ErrorData is a JSON text that is sent as a string; see Detail.
	ErrorData string
	FBTraceID string
	// RetryAfter is in seconds, for the header of that name; zero for none.
	RetryAfter int
}

// Error is the message with its code.
func (e *Error) Error() string {
	return fmt.Sprintf("graph: code %d subcode %d: %s", e.Code, e.Subcode, e.Message)
}

// AsError returns the *Error in err's chain, or Internal for anything else, so
// that nothing of an unforeseen error reaches a client.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Internal()
}

// envelope is the body of an error, in the platform's order of keys.
type envelope struct {
	Error errorObject `json:"error"`
}

type errorObject struct {
	Message     string `json:"message"`
	Type        string `json:"type"`
	Code        int    `json:"code"`
	Subcode     int    `json:"error_subcode,omitempty"`
	IsTransient bool   `json:"is_transient,omitempty"`
	ErrorData   string `json:"error_data,omitempty"`
	UserTitle   string `json:"error_user_title,omitempty"`
	UserMsg     string `json:"error_user_msg,omitempty"`
	FBTraceID   string `json:"fbtrace_id"`
}

// Body is the error as the body of an answer.
func (e *Error) Body() []byte {
	return marshal(envelope{errorObject{
		e.Message, e.Type, e.Code, e.Subcode, e.IsTransient, e.ErrorData, e.UserTitle, e.UserMsg, e.FBTraceID,
	}})
}

// WWWAuthenticate is the value of that header: for code 190, else "".
func (e *Error) WWWAuthenticate() string {
	if e.Code != CodeToken {
		return ""
	}
	message := strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < 0x20 || r > 0x7e {
			return ' '
		}
		return r
	}, e.Message)
	return `OAuth "Facebook Platform" "invalid_token" "` + message + `"`
}

// Detail explains a refusal in error_data. Zero fields are left out.
type Detail struct {
	// Reason is a word in capitals, NOT_OWNER.
	Reason string `json:"baton_reason,omitempty"`
	// Owner is the app id of who has control, when the caller may know it.
	Owner string `json:"owner,omitempty"`
	// Since and Until bound that control, in seconds since the Unix epoch.
	Since int64 `json:"since,omitempty"`
	Until int64 `json:"until,omitempty"`
	// Next is what to call instead.
	Next string `json:"next,omitempty"`
	// Outcome is "unknown" for a send whose fate is not known.
	Outcome string `json:"outcome,omitempty"`
	// Explain is a sentence for whoever reads the log.
	Explain string `json:"explain,omitempty"`
}

// With returns a copy of e that carries d as error_data.
func (e *Error) With(d Detail) *Error {
	c := *e
	c.ErrorData = string(marshal(d))
	return &c
}

// Traced returns a copy of e with the trace id of its request.
func (e *Error) Traced(id string) *Error {
	c := *e
	c.FBTraceID = id
	return &c
}

// OnInstagram returns e as the platform words it for Instagram accounts.
func (e *Error) OnInstagram() *Error {
	switch e.Subcode {
	case SubcodeNoUser:
		return newError(CodeParameter, SubcodeNoInstagramUser, "No matching Instagram user")
	case SubcodeWindow:
		return newError(CodePermission, SubcodeInstagramWindow, messageWindow)
	}
	return e
}
