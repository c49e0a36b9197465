package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// ErrProxy is returned (wrapped) by a dial that failed because of the egress
// proxy: it could not be reached, wanted other credentials, or could not open
// the tunnel. It is never the endpoint's failure.
var ErrProxy = errors.New("egress: proxy")

// maxTunnelHeader bounds the proxy's answer to CONNECT.
const maxTunnelHeader = 16 << 10

// Proxy is an HTTP proxy through which every connection is tunnelled (CONNECT),
// plain http callbacks too: so its own failures can be told from the endpoint's.
// The proxy resolves the names of callbacks and judges their addresses; Baton
// still refuses a callback whose address is written out and denied.
type Proxy struct {
	address  string // host:port
	host     string
	tls      *tls.Config // nil for a plain connection to the proxy
	identity string      // value of Proxy-Authorization, "" for none
}

// ProxyOptions describe a proxy.
type ProxyOptions struct {
	// URL is http://host:port or https://host:port, without user and path.
	URL string
	// User and Password for Basic authentication; none when User is "".
	User, Password string
	// TLS towards an https proxy; nil is the system's roots.
	TLS *tls.Config
}

// NewProxy checks the options; nil, nil without a URL.
func NewProxy(o ProxyOptions) (*Proxy, error) {
	if o.URL == "" {
		return nil, nil //nolint:nilnil // no proxy
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("egress: proxy %q is not http(s)://host:port", redacted(o.URL))
	}
	p := &Proxy{host: u.Hostname()}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p.address = net.JoinHostPort(p.host, port)
	if u.Scheme == "https" {
		p.tls = tlsConfig(o.TLS)
	}
	if o.User != "" {
		p.identity = "Basic " + base64.StdEncoding.EncodeToString([]byte(o.User+":"+o.Password))
	}
	return p, nil
}

// redacted is an address without its password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(unreadable)"
	}
	return u.Redacted()
}

// openThrough tunnels to host:port.
func (d *dialer) openThrough(ctx context.Context, network, host, port string) (net.Conn, error) {
	if addr, err := netip.ParseAddr(host); err == nil && !d.allow.host(host, port) {
		if err := d.allow.Check(addr); err != nil {
			return nil, failed(ClassDenied, fmt.Errorf("egress: dial %q: %w", net.JoinHostPort(host, port), err))
		}
	}
	conn, err := d.proxy.connect(ctx, network)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	tunnel, err := d.proxy.tunnel(ctx, conn, net.JoinHostPort(host, port))
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tunnel, nil
}

func (p *Proxy) connect(ctx context.Context, network string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, p.address)
	if err != nil || p.tls == nil {
		return conn, err
	}
	return handshake(ctx, conn, p.tls, p.host)
}

// tunnel asks for a connection to target. A 403 is the proxy's judgement of the
// target; anything else but 200 is the proxy's own failure.
func (p *Proxy) tunnel(ctx context.Context, conn net.Conn, target string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if p.identity != "" {
		request += "Proxy-Authorization: " + p.identity + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, fmt.Errorf("%w: CONNECT %s: %w", ErrProxy, target, err)
	}
	bounded := &io.LimitedReader{R: conn, N: maxTunnelHeader}
	r := bufio.NewReader(bounded)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("%w: CONNECT %s: %w", ErrProxy, target, err)
	}
	_ = resp.Body.Close() // nothing was read of it; conn belongs to the caller
	switch {
	case resp.StatusCode == http.StatusForbidden:
		return nil, failed(ClassDenied, fmt.Errorf("%w: the egress proxy refuses %s (status 403)", ErrAddressDenied, target))
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: CONNECT %s: status %d", ErrProxy, target, resp.StatusCode)
	case r.Buffered() > 0:
		return nil, fmt.Errorf("%w: CONNECT %s: bytes before the tunnel was used", ErrProxy, target)
	}
	if !stop() { // the context has ended, and with it the deadline was set
		return nil, fmt.Errorf("%w: CONNECT %s: %w", ErrProxy, target, context.Cause(ctx))
	}
	return conn, nil
}
