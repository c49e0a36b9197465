package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// ErrAddressDenied is returned (wrapped) by a dial whose resolved address is not
// reachable by policy: a private, local or otherwise special address that the
// allow-list does not name.
var ErrAddressDenied = errors.New("egress: address denied")

// deniedPrefixes are the addresses that are not the public internet, with the
// reason that the error names. IPv4-mapped IPv6 addresses are judged as IPv4.
//
//nolint:gochecknoglobals // a constant table
var deniedPrefixes = []struct {
	prefix netip.Prefix
	reason string
}{
	{netip.MustParsePrefix("168.63.129.16/32"), "metadata service"},
	{netip.MustParsePrefix("169.254.169.254/32"), "metadata service"},
	{netip.MustParsePrefix("100.100.100.200/32"), "metadata service"},
	{netip.MustParsePrefix("192.0.0.192/32"), "metadata service"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "metadata service"},
	{netip.MustParsePrefix("0.0.0.0/8"), "this network"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignments"},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation"},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmarking"},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation"},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("::/96"), "unspecified or IPv4-compatible"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "IPv4-translated"},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64"},
	{netip.MustParsePrefix("100::/64"), "discard"},
	{netip.MustParsePrefix("100:0:0:1::/64"), "dummy"},
	{netip.MustParsePrefix("2001::/23"), "protocol assignments, Teredo"},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation"},
	{netip.MustParsePrefix("2002::/16"), "6to4"},
	{netip.MustParsePrefix("3fff::/20"), "documentation"},
	{netip.MustParsePrefix("5f00::/16"), "segment routing"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
}

// denied returns why addr is not public; "" when it is.
func denied(addr netip.Addr) string {
	for _, d := range deniedPrefixes {
		if d.prefix.Contains(addr) {
			return d.reason
		}
	}
	if !addr.IsValid() {
		return "not an address"
	}
	return ""
}

// Allow is a list of exceptions: networks, and host:port pairs as they are
// written in a URL. The zero value allows nothing. Safe for concurrent use.
type Allow struct {
	prefixes []netip.Prefix
	hosts    map[string]struct{}
}

// ParseAllow reads an allow-list: each element a CIDR ("10.1.0.0/16"), a single
// address ("10.1.2.3") or host:port ("inbox.internal:8080", "[fd00::1]:443").
// The error joins one fault per wrong element.
func ParseAllow(list []string) (Allow, error) {
	a := Allow{hosts: make(map[string]struct{})}
	var faults []error
	for _, s := range list {
		if err := a.add(strings.TrimSpace(s)); err != nil {
			faults = append(faults, err)
		}
	}
	return a, errors.Join(faults...)
}

func (a *Allow) add(s string) error {
	if prefix, err := netip.ParsePrefix(s); err == nil {
		a.prefixes = append(a.prefixes, unmapPrefix(prefix))
		return nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		a.prefixes = append(a.prefixes, netip.PrefixFrom(addr, addr.BitLen()))
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return fmt.Errorf("egress: %q is neither a CIDR, an address nor host:port", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("egress: %q: port must be 1 to 65535", s)
	}
	a.hosts[hostKey(host, port)] = struct{}{}
	return nil
}

// unmapPrefix turns ::ffff:a.b.c.d/n into a.b.c.d/(n-96), because addresses are
// judged unmapped.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

func hostKey(host, port string) string {
	return strings.ToLower(strings.TrimSuffix(host, ".")) + ":" + port
}

// host reports whether the pair as written in the URL is allowed whatever it
// resolves to.
func (a Allow) host(host, port string) bool {
	_, ok := a.hosts[hostKey(host, port)]
	return ok
}

// Check judges one resolved address: nil, or ErrAddressDenied with the reason.
func (a Allow) Check(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	reason := denied(plain)
	if reason == "" && addr.Zone() == "" {
		return nil
	}
	for _, p := range a.prefixes {
		if p.Contains(plain) {
			return nil
		}
	}
	if reason == "" {
		reason = "zoned"
	}
	return fmt.Errorf("%w: %s is %s; allow it with egress.allow", ErrAddressDenied, addr, reason)
}
