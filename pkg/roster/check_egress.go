package roster

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"time"
)

func (k *checker) proxy(p *Proxy) {
	if p.URL == "" {
		if p.User != "" || !p.Password.IsZero() || p.CA != "" {
			k.report("egress.proxy.url", "is missing")
		}
		return
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "":
		k.report("egress.proxy.url", "is not http://host:port or https://host:port")
	case u.User != nil:
		k.report("egress.proxy.url", "must not carry a user or password; they have keys of their own")
	case p.CA != "" && u.Scheme != "https":
		k.report("egress.proxy.ca", "is for an https proxy")
	}
	if !p.Password.IsZero() && p.User == "" {
		k.report("egress.proxy.user", "is missing")
	}
}

func (k *checker) deliveryLog(l *DeliveryLog) {
	if l.Bytes != 0 && (l.Bytes < 1<<20 || l.Bytes > 1<<40) {
		k.report("delivery_log.bytes", "%d is neither 0 nor between 1 MiB and 1024 GiB", int64(l.Bytes))
	}
	if age := time.Duration(l.Age); age < time.Minute || age > 365*24*time.Hour {
		k.report("delivery_log.age", "%s is not between 1m and 8760h", l.Age)
	}
	if l.Successes < 0 {
		k.report("delivery_log.successes", "%d is negative; 0 keeps none, 1 all", l.Successes)
	}
	if l.BodyBytes > 64<<10 {
		k.report("delivery_log.body_bytes", "%d is more than 64 KiB", int64(l.BodyBytes))
	}
}

// callbackTLS checks certificates that were resolved.
func (k *checker) callbackTLS(path string, t *CallbackTLS) {
	if t.Cert.IsZero() != t.Key.IsZero() {
		k.report(path, "cert and key belong together")
	} else if t.Cert.Value() != "" && t.Key.Value() != "" {
		if _, err := tls.X509KeyPair([]byte(t.Cert.Value()), []byte(t.Key.Value())); err != nil {
			k.report(path+".cert", "%s (both are PEM texts; write file:PATH for files)", err)
		}
	}
	if t.CA.Value() != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.CA.Value())) {
		k.report(path+".ca", "holds no PEM certificate; write file:PATH for a file")
	}
}

func (k *checker) oauth(path string, o *OAuth) {
	if o.IsZero() {
		return
	}
	if o.TokenURL == "" {
		k.report(path+".token_url", "is missing")
	} else {
		k.callback(path+".token_url", o.TokenURL)
	}
	if o.ClientID == "" {
		k.report(path+".client_id", "is missing")
	}
	k.required(path+".client_secret", o.ClientSecret)
	if o.Auth != "" {
		k.oneOf(path+".auth", o.Auth, OAuthBasic, OAuthBody)
	}
}
