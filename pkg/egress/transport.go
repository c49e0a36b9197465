package egress

import (
	"crypto/tls"
	"errors"
	"io"
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
	defaultResponseBytes = 64 << 10
	// writeBuffer holds a usual POST, so that it leaves in one write.
	writeBuffer           = 16 << 10
	maxHeaderBytes        = 64 << 10
	defaultConnectTimeout = 5 * time.Second
	defaultIdleTimeout    = 30 * time.Second
)

// RoundTripper sends requests by a policy. It never follows a redirect (that is
// http.Client's doing; RoundTrip returns the 3xx), uses no proxy but the
// policy's, asks for no compression, and speaks HTTP/1.1. Safe for concurrent
// use.
type RoundTripper struct {
	transport *http.Transport
	maxBytes  int64
	tokens    *tokens // nil without OAuth
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
	t := &RoundTripper{maxBytes: p.MaxResponseBytes, transport: &http.Transport{
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		DisableCompression:     true,
		MaxConnsPerHost:        p.MaxConns,
		MaxIdleConnsPerHost:    max(p.MaxConns, 1),
		IdleConnTimeout:        idle,
		WriteBufferSize:        writeBuffer,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}}
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
// error is. The caller closes the body; reading more than the policy's bound of
// it fails with ErrResponseTooLarge.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.tokens != nil {
		return t.tokens.authorize(req, t.send)
	}
	return t.send(req)
}

// errSwitched is the failure of an endpoint that wants to speak something else:
// the connection would be the caller's then, beyond every deadline.
var errSwitched = errors.New("egress: the endpoint wants to switch protocols")

func (t *RoundTripper) send(req *http.Request) (*http.Response, error) {
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, failed(ClassProtocol, errSwitched)
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: t.maxBytes}
	return resp, nil
}

// CloseIdleConnections closes the connections that carry no request.
func (t *RoundTripper) CloseIdleConnections() { t.transport.CloseIdleConnections() }

// cappedBody fails a read beyond its bound.
type cappedBody struct {
	io.ReadCloser
	left int64
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrResponseTooLarge
	}
	// One byte more than allowed tells a body that ends here from one that
	// goes on.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrResponseTooLarge
	}
	return n, err
}
