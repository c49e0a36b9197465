package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
)

// Class names why an exchange failed, by the step that failed first.
type Class string

// The classes of failures. ClassOf and ClassOfStatus return them.
const (
	// ClassNone is no failure.
	ClassNone Class = ""
	// ClassDNS: the name did not resolve.
	ClassDNS Class = "dns"
	// ClassDenied: the address may not be reached by policy.
	ClassDenied Class = "denied_address"
	// ClassConnect: no connection could be made in time.
	ClassConnect Class = "connect"
	// ClassTLS: the TLS handshake failed or took too long.
	ClassTLS Class = "tls"
	// ClassProxy: the egress proxy failed, not the endpoint.
	ClassProxy Class = "proxy"
	// ClassToken: the app's token endpoint gave no access token.
	ClassToken Class = "token"
	// ClassTimeout: connected, but the answer did not come in time.
	ClassTimeout Class = "timeout"
	// ClassCancelled: the caller gave the exchange up.
	ClassCancelled Class = "cancelled"
	// ClassTooLarge: the answer was beyond its bound.
	ClassTooLarge Class = "too_large"
	// ClassProtocol: connected, but what came was no HTTP answer, or it broke
	// off.
	ClassProtocol Class = "protocol"
	// ClassRedirect: a 3xx; redirects are not followed.
	ClassRedirect Class = "redirect"
	// ClassStatus: any other status that is not 2xx.
	ClassStatus Class = "status"
)

// Unreachable reports whether nothing was sent to the endpoint, so that no
// request can be the cause.
func (c Class) Unreachable() bool {
	switch c {
	case ClassDNS, ClassDenied, ClassConnect, ClassTLS, ClassProxy, ClassToken:
		return true
	case ClassNone, ClassTimeout, ClassCancelled, ClassTooLarge, ClassProtocol, ClassRedirect, ClassStatus:
	}
	return false
}

// Charged reports whether the failure is the endpoint's: one of Baton's own
// proxy, or of Baton itself, says nothing about the app.
func (c Class) Charged() bool { return c != ClassNone && c != ClassProxy && c != ClassCancelled }

// fault is an error whose class is known where it happened.
type fault struct {
	class Class
	err   error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func failed(class Class, err error) error {
	if err == nil {
		return nil
	}
	return &fault{class, err}
}

// ClassOf classes the error of a RoundTrip or of reading its body; ClassNone for
// nil. A token that could not be fetched because of the proxy is the proxy's
// failure.
func ClassOf(err error) Class {
	switch {
	case err == nil:
		return ClassNone
	case errors.Is(err, ErrProxy):
		return ClassProxy
	case errors.Is(err, ErrToken):
		return ClassToken
	}
	if f, ok := errors.AsType[*fault](err); ok {
		return f.class
	}
	return classOfExchange(err)
}

// classOfExchange classes what happens on an open connection.
func classOfExchange(err error) Class {
	switch {
	case errors.Is(err, ErrResponseTooLarge), errors.Is(err, errLongHead):
		return ClassTooLarge
	case errors.Is(err, context.Canceled):
		return ClassCancelled
	case timedOut(err):
		return ClassTimeout
	case alerted(err):
		return ClassTLS
	}
	return ClassProtocol
}

// alerted reports a TLS alert on an open connection: with TLS 1.3 a client's
// certificate is refused after the client believes the handshake done.
func alerted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "remote error" || op.Op == "local error")
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

// ClassOfStatus classes a status: ClassNone for 2xx.
func ClassOfStatus(status int) Class {
	switch {
	case status >= 200 && status < 300:
		return ClassNone
	case status >= 300 && status < 400 && status != http.StatusNotModified:
		return ClassRedirect
	}
	return ClassStatus
}
