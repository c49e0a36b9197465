package egress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

// issue signs a certificate for 127.0.0.1 and for clients.
func (a *authority) issue(t *testing.T, name string) (certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// mutual is a TLS server that wants a client certificate of the authority and
// answers with its name.
func mutual(t *testing.T, a *authority) *httptest.Server {
	t.Helper()
	cert, key := a.issue(t, "server")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestClientCertificateIsShown(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := mutual(t, a)
	cert, key := a.issue(t, "faq-bot")
	c := Credentials{Cert: cert, Key: key, CA: a.pem}
	_, body, err := get(t, transport(t, Policy{Allow: allow(t, "127.0.0.1"), Credentials: c}), s.URL)
	if err != nil || body != "faq-bot" {
		t.Fatalf("%q, %v", body, err)
	}
	stranger, strangerKey := newAuthority(t).issue(t, "stranger")
	for name, c := range map[string]Credentials{
		"unknown authority": {Cert: cert, Key: key},
		"broken CA":         {Cert: cert, Key: key, CA: "nonsense"},
		"broken pair":       {Cert: cert, Key: strangerKey, CA: a.pem},
	} {
		_, _, err := get(t, transport(t, Policy{Allow: allow(t, "127.0.0.1"), Credentials: c}), s.URL)
		if ClassOf(err) != ClassTLS {
			t.Errorf("%s: class %q of %v", name, ClassOf(err), err)
		}
	}
	// TLS 1.3 lets the client finish first: the refusal comes with the first read.
	for name, c := range map[string]Credentials{"none": {CA: a.pem}, "a stranger's": {Cert: stranger, Key: strangerKey, CA: a.pem}} {
		_, _, err := get(t, transport(t, Policy{Allow: allow(t, "127.0.0.1"), Credentials: c}), s.URL)
		if ClassOf(err) != ClassTLS {
			t.Errorf("certificate %s: class %q of %v", name, ClassOf(err), err)
		}
	}
}

// issuer is a token endpoint, and an app's endpoint that takes its tokens.
type issuer struct {
	mu      sync.Mutex
	issued  int
	asked   int
	expires int
	status  int
	answer  string // instead of a token
	valid   map[string]bool
	bodies  []string
	forms   []string
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/token" {
		if !i.valid[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		i.bodies = append(i.bodies, string(body))
		return
	}
	i.asked++
	user, password, _ := r.BasicAuth()
	i.forms = append(i.forms, user+" "+password+" "+string(body))
	switch {
	case i.status != 0:
		w.WriteHeader(i.status)
	case i.answer != "":
		_, _ = io.WriteString(w, i.answer)
	default:
		i.issued++
		token := fmt.Sprintf("t%d", i.issued)
		i.valid = map[string]bool{token: true}
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, token, i.expires)
	}
}

func (i *issuer) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

func post(t *testing.T, rt http.RoundTripper, url string) (int, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("event"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	_ = resp.Body.Close()
	return resp.StatusCode, nil
}

func oauthTransport(t *testing.T, base string, change func(*OAuth)) *RoundTripper {
	t.Helper()
	o := OAuth{TokenURL: base + "/token", ClientID: "faq bot", ClientSecret: "s:1", Scopes: []string{"a", "b"}, Audience: "hooks"}
	if change != nil {
		change(&o)
	}
	return transport(t, Policy{Allow: allow(t, "127.0.0.1"), Credentials: Credentials{OAuth: o}})
}

func TestTokenIsFetchedOnceAndKept(t *testing.T) {
	t.Parallel()
	i := &issuer{expires: 3600}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	rt := oauthTransport(t, s.URL, nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if status, err := post(t, rt, s.URL+"/hook"); err != nil || status != http.StatusOK {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	wg.Wait()
	want := "faq+bot s%3A1 audience=hooks&grant_type=client_credentials&scope=a+b"
	if i.asked != 1 || i.forms[0] != want {
		t.Errorf("asked %d times: %q, want %q", i.asked, i.forms, want)
	}
}

func TestRevokedTokenIsReplacedAtOnce(t *testing.T) {
	t.Parallel()
	i := &issuer{expires: 3600}
	s := httptest.NewServer(i)
	t.Cleanup(s.Close)
	rt := oauthTransport(t, s.URL, func(o *OAuth) { o.InBody = true })
	if _, err := post(t, rt, s.URL+"/hook"); err != nil {
		t.Fatal(err)
	}
	i.change(func() { i.valid = nil })
	if status, err := post(t, rt, s.URL+"/hook"); err != nil || status != http.StatusOK {
		t.Fatalf("%d, %v", status, err)
	}
	if i.issued != 2 || i.bodies[1] != "event" || !strings.Contains(i.forms[1], "client_secret=s%3A1") {
		t.Errorf("%d tokens, bodies %q, forms %q", i.issued, i.bodies, i.forms)
	}
	// An endpoint that takes no token at all is asked twice, not for ever.
	status, err := post(t, rt, server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }).URL)
	if err != nil || status != http.StatusUnauthorized || i.issued != 3 {
		t.Errorf("%d, %v after %d tokens", status, err, i.issued)
	}
}

func TestTokenFailuresHaveTheirClass(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*issuer){
		"500":           func(i *issuer) { i.status = http.StatusInternalServerError },
		"redirect":      func(i *issuer) { i.status = http.StatusFound },
		"no JSON":       func(i *issuer) { i.answer = "<html>" },
		"no token":      func(i *issuer) { i.answer = `{"error":"invalid_client"}` },
		"another type":  func(i *issuer) { i.answer = `{"access_token":"x","token_type":"mac"}` },
		"header inject": func(i *issuer) { i.answer = `{"access_token":"x\r\nHost: y"}` },
		"endless":       func(i *issuer) { i.answer = strings.Repeat("x", 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := &issuer{}
			change(i)
			s := httptest.NewServer(i)
			t.Cleanup(s.Close)
			_, err := post(t, oauthTransport(t, s.URL, nil), s.URL+"/hook")
			if ClassOf(err) != ClassToken || strings.Contains(err.Error(), "s:1") {
				t.Errorf("class %q of %v", ClassOf(err), err)
			}
		})
	}
	_, err := post(t, transport(t, Policy{Allow: allow(t, "127.0.0.1"), Credentials: Credentials{OAuth: OAuth{
		TokenURL: "http://169.254.169.254/token", ClientID: "a", ClientSecret: "b",
	}}}), server(t, func(http.ResponseWriter, *http.Request) { t.Error("posted without a token") }).URL)
	if ClassOf(err) != ClassToken || !strings.Contains(err.Error(), "metadata") {
		t.Errorf("a token endpoint inside: class %q of %v", ClassOf(err), err)
	}
}

// canned answers in memory, so that a bubble's clock rules.
type canned func(*http.Request) (*http.Response, error)

func (f canned) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTokensExpireAndFailuresBackOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, status := 0, http.StatusOK
		source := newTokens(OAuth{TokenURL: "http://idp.test/token"}, canned(func(*http.Request) (*http.Response, error) {
			asked++
			body := fmt.Sprintf(`{"access_token":"t%d","expires_in":100}`, asked)
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
		}))
		step := func(wait time.Duration, wantAsked int, wantToken string) {
			t.Helper()
			<-time.After(wait)
			token, _, err := source.get(t.Context())
			if asked != wantAsked || token != wantToken || (err != nil) != (wantToken == "") {
				t.Fatalf("asked %d, token %q, %v; want %d, %q", asked, token, err, wantAsked, wantToken)
			}
		}
		step(0, 1, "t1")
		step(89*time.Second, 1, "t1")
		step(2*time.Second, 2, "t2") // a tenth of its age before it expires
		status = http.StatusBadGateway
		step(95*time.Second, 3, "")
		step(500*time.Millisecond, 3, "") // left alone
		step(time.Second, 4, "")
		step(time.Second, 4, "")
		step(2*time.Second, 5, "")
		status = http.StatusOK
		step(5*time.Second, 6, "t6")
	})
}
