package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// ErrResponseTooLarge is returned by reads of a response body beyond
// Policy.MaxResponseBytes. The connection is not used again.
var ErrResponseTooLarge = errors.New("egress: response too large")

// Resolver turns names into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

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
	// TLS is copied when set: roots, client certificates. Its minimum version
	// is raised to 1.2.
	TLS *tls.Config
}

const (
	defaultResponseBytes  = 64 << 10
	maxHeaderBytes        = 64 << 10
	defaultConnectTimeout = 5 * time.Second
	defaultIdleTimeout    = 30 * time.Second
)

// RoundTripper sends requests by a policy. It never follows a redirect (that is
// http.Client's doing; RoundTrip returns the 3xx), uses no proxy, asks for no
// compression, and speaks HTTP/1.1. Safe for concurrent use.
type RoundTripper struct {
	transport *http.Transport
	maxBytes  int64
}

// Transport builds a round tripper of its own: connections, limits and faults
// are shared with no other.
func Transport(p Policy) *RoundTripper {
	d := dialer{allow: p.Allow, resolver: p.Resolver, timeout: p.ConnectTimeout}
	if d.resolver == nil {
		d.resolver = net.DefaultResolver
	}
	if d.timeout <= 0 {
		d.timeout = defaultConnectTimeout
	}
	idle := p.IdleTimeout
	if idle <= 0 {
		idle = defaultIdleTimeout
	}
	maxBytes := p.MaxResponseBytes
	if maxBytes <= 0 {
		maxBytes = defaultResponseBytes
	}
	return &RoundTripper{maxBytes: maxBytes, transport: &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        tlsConfig(p.TLS),
		TLSHandshakeTimeout:    d.timeout,
		DisableCompression:     true,
		MaxConnsPerHost:        p.MaxConns,
		MaxIdleConnsPerHost:    max(p.MaxConns, 1),
		IdleConnTimeout:        idle,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}}
}

func tlsConfig(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c = c.Clone()
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}

// RoundTrip implements http.RoundTripper. The error wraps ErrAddressDenied when
// the address is not reachable by policy. The caller closes the body; reading
// more than the policy's bound of it fails with ErrResponseTooLarge.
func (t *RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.transport.RoundTrip(req)
	if err != nil {
		return nil, err
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

// dialer resolves, judges and connects.
type dialer struct {
	allow    Allow
	resolver Resolver
	timeout  time.Duration
}

func (d *dialer) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, fmt.Errorf("egress: dial %q: %w", hostport, err)
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("egress: resolve %q: %w", host, err)
	}
	if !d.allow.host(host, port) {
		if addrs, err = d.permitted(addrs); err != nil {
			return nil, fmt.Errorf("egress: dial %q: %w", hostport, err)
		}
	}
	return connect(ctx, network, addrs, port)
}

func (d *dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	return addrs, err
}

// permitted drops the addresses that may not be dialled; the error is the first
// refusal when none is left.
func (d *dialer) permitted(addrs []netip.Addr) ([]netip.Addr, error) {
	var refusal error
	ok := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		if err := d.allow.Check(a); err == nil {
			ok = append(ok, a)
		} else if refusal == nil {
			refusal = err
		}
	}
	if len(ok) == 0 {
		return nil, refusal
	}
	return ok, nil
}

// connect tries the addresses one after the other, sharing what is left of the
// time among those not yet tried.
func connect(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	var faults []error
	for i, a := range addrs {
		conn, err := connectOne(ctx, network, net.JoinHostPort(a.Unmap().String(), port), len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}

func connectOne(ctx context.Context, network, address string, share int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && share > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(share))
		defer cancel()
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}
