package egress

import (
	"crypto/tls"
	"crypto/x509"
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

func (c Credentials) roots() *x509.CertPool {
	if c.CA == "" {
		return nil // the system's
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.CA))
	return pool
}

// apply adds the credentials to a TLS configuration. What cannot be read makes
// every handshake fail.
func (c Credentials) apply(config *tls.Config) {
	if pool := c.roots(); pool != nil {
		config.RootCAs = pool
	}
	if c.Cert == "" {
		return
	}
	pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, err }
}
