package fanout

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"

	"github.com/baton-router/baton/pkg/egress"
)

// unreachable reports whether err means that no connection could be made, so
// that no event can be the cause.
func unreachable(err error) bool {
	var (
		op        *net.OpError
		dns       *net.DNSError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
	)
	switch {
	case errors.Is(err, egress.ErrAddressDenied):
		return true
	case errors.As(err, &op) && op.Op == "dial":
		return true
	}
	return errors.As(err, &dns) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify) ||
		errors.As(err, &authority) || errors.As(err, &host)
}
