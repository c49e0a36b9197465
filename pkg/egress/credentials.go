package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// Credentials are what an app's endpoint wants of its caller, beside the
// signature. The zero value is none.
type Credentials struct {
	// Cert and Key are a client certificate as PEM, for mutual TLS; CA are
	// roots that sign the endpoint's certificate instead of the system's.
	Cert, Key, CA string
	// OAuth gets an access token for each request.
	OAuth OAuth
}

// Check reports every fault of the certificates and of the token endpoint.
func (c Credentials) Check() error {
	var faults []error
	if (c.Cert == "") != (c.Key == "") {
		faults = append(faults, errors.New("cert and key belong together"))
	} else if _, err := c.pair(); err != nil {
		faults = append(faults, fmt.Errorf("cert and key: %w", err))
	}
	if _, err := c.roots(); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(append(faults, c.OAuth.Check())...)
}

// errNoCertificates is the fault of a CA without one.
var errNoCertificates = errors.New("ca: no PEM certificate in it")

func (c Credentials) roots() (*x509.CertPool, error) {
	if c.CA == "" {
		return nil, nil //nolint:nilnil // the system's
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(c.CA)) {
		return pool, errNoCertificates
	}
	return pool, nil
}

func (c Credentials) pair() (*tls.Certificate, error) {
	if c.Cert == "" {
		return nil, nil //nolint:nilnil // none
	}
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	return &pair, err
}

// apply adds the credentials to a TLS configuration. What Check refuses makes
// every handshake fail.
func (c Credentials) apply(config *tls.Config) {
	if pool, err := c.roots(); err != nil || pool != nil {
		config.RootCAs = pool
	}
	if c.Cert == "" {
		return
	}
	pair, err := c.pair()
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, err }
}
