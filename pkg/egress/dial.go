package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Resolver turns names into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer resolves, judges and connects, or asks the proxy to.
type dialer struct {
	allow    Allow
	resolver Resolver
	timeout  time.Duration
	tls      *tls.Config
	proxy    *Proxy
}

// dial opens a connection to host:port.
func (d *dialer) dial(ctx context.Context, network, hostport string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.open(ctx, network, hostport)
}

// dialTLS opens a TLS connection to host:port.
func (d *dialer) dialTLS(ctx context.Context, network, hostport string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, hostport)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(hostport) // dial has split it
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	secured, err := handshake(ctx, conn, d.tls, host)
	if err != nil {
		return nil, failed(ClassTLS, fmt.Errorf("egress: TLS with %q: %w", hostport, err))
	}
	return secured, nil
}

// handshake makes conn a TLS connection; conn is closed on an error.
func handshake(ctx context.Context, conn net.Conn, config *tls.Config, host string) (net.Conn, error) {
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func (d *dialer) open(ctx context.Context, network, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, failed(ClassConnect, fmt.Errorf("egress: dial %q: %w", hostport, err))
	}
	if d.proxy != nil {
		return d.openThrough(ctx, network, host, port)
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, failed(ClassDNS, fmt.Errorf("egress: resolve %q: %w", host, err))
	}
	if !d.allow.host(host, port) {
		if addrs, err = d.permitted(addrs); err != nil {
			return nil, failed(ClassDenied, fmt.Errorf("egress: dial %q: %w", hostport, err))
		}
	}
	conn, err := connect(ctx, network, addrs, port)
	return conn, failed(ClassConnect, err)
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
