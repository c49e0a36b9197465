package egress

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"
)

// ErrResponseTooLarge is returned by reads of a response body beyond
// Policy.MaxResponseBytes. The connection is not used again.
var ErrResponseTooLarge = errors.New("egress: response too large")

// Policy says what a transport may reach and how much it may take in. The zero
// value reaches public addresses only, with the defaults named at each field.
type Policy struct {
	// Allow lists the exceptions to the address check.
	Allow Allow
	// Resolver resolves names; nil is the system's.
	Resolver Resolver
	// MaxConns bounds the connections to one host, in use and idle; 0 is no
	// bound.
	MaxConns int
	// MaxResponseBytes bounds a response body; 0 is 64 KiB.
	MaxResponseBytes int64
	// ConnectTimeout bounds resolving and connecting; 0 is 5 s.
	ConnectTimeout time.Duration
	// IdleTimeout closes idle connections; 0 is 30 s.
	IdleTimeout time.Duration
	// TLS is copied when set. Its minimum version is raised to 1.2.
	TLS *tls.Config
	// Credentials are the app's own towards its endpoint.
	Credentials Credentials
	// Proxy tunnels every connection; nil for none.
	Proxy *Proxy
}

const (
	defaultResponseBytes  = 64 << 10
	maxHeaderBytes        = 64 << 10
	defaultConnectTimeout = 5 * time.Second
	defaultIdleTimeout    = 30 * time.Second
)

// RoundTripper sends requests by a policy. It never follows a redirect (that is
// http.Client's doing; RoundTrip returns the 3xx), uses no proxy but the
// policy's, asks for no compression, and speaks HTTP/1.1. An exchange runs on its
// caller's goroutine, and the hooks of a httptrace.ClientTrace, of which GotConn
// and GotFirstResponseByte are called, run there too. Safe for concurrent use.
type RoundTripper struct {
	dialer   *dialer
	pool     *pool
	maxBytes int64
	tokens   *tokens // nil without OAuth
}

// Transport builds a round tripper of its own: connections, limits and faults
// are shared with no other.
func Transport(p Policy) *RoundTripper {
	d := &dialer{allow: p.Allow, resolver: p.Resolver, timeout: p.ConnectTimeout, tls: tlsConfig(p.TLS), proxy: p.Proxy}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.timeout <= 0 {
		d.timeout = defaultConnectTimeout
	}
	p.Credentials.apply(d.tls)
	idle := p.IdleTimeout
	if idle <= 0 {
		idle = defaultIdleTimeout
	}
	t := &RoundTripper{dialer: d, pool: newPool(p.MaxConns, idle), maxBytes: p.MaxResponseBytes}
	if t.maxBytes <= 0 {
		t.maxBytes = defaultResponseBytes
	}
	if p.Credentials.OAuth.TokenURL != "" {
		t.tokens = newTokens(p.Credentials.OAuth, roundTrip(t.send))
	}
	return t
}

// roundTrip is a function as a http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func tlsConfig(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

// RoundTrip implements http.RoundTripper. ClassOf tells what kind of failure an
// error is. A request on a kept connection that turns out to be closed is sent
// once more on a new one, when nothing of an answer was read. The caller reads
// the body to its end, so that its connection can be used again, or closes it;
// reading more than the policy's bound of it fails with ErrResponseTooLarge. The
// request and its body belong to the caller again when RoundTrip returns.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.tokens != nil {
		return t.tokens.authorize(req, t.send)
	}
	return t.send(req)
}

// CloseIdleConnections closes the connections that carry no request.
func (t *RoundTripper) CloseIdleConnections() { t.pool.clear() }
