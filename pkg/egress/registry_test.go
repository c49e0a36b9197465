package egress

import (
	"errors"
	"net/netip"
	"testing"
)

// special are the blocks of the IANA special-purpose registries that are not
// globally reachable or that carry an IPv4 address inside, multicast, and the
// metadata services of the clouds; written down again so that the table of the
// package is checked against something.
var special = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
	"240.0.0.0/4", "255.255.255.255/32", "168.63.129.16/32", "::/128", "::1/128", "::ffff:0:0:0/96", "64:ff9b::/96",
	"64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32", "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32",
	"2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128",
	"::ffff:10.0.0.0/104", "::ffff:169.254.169.254/128", "::ffff:100.64.0.0/106",
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func TestEverySpecialBlockIsDeniedFromEndToEnd(t *testing.T) {
	t.Parallel()
	for _, s := range special {
		p := netip.MustParsePrefix(s)
		for _, a := range []netip.Addr{p.Masked().Addr(), lastOf(p)} {
			if err := (Allow{}).Check(a); !errors.Is(err, ErrAddressDenied) {
				t.Errorf("%s of %s: %v", a, s, err)
			}
		}
	}
}

func TestNeighboursOfSpecialBlocksAreReached(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
		"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
		"192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.17", "64:ff9a::1", "64:ff9b:2::", "100:0:0:2::",
		"2001:200::1", "2001:db7::1", "2003::1", "2400::1", "2606:4700::1111", "::ffff:93.184.216.34",
	} {
		if err := (Allow{}).Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}
