package platform

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says where the platform is and who Baton is there.
type Config struct {
	// BaseURL of the Graph API, without version.
	BaseURL string
	// Version is the path prefix of calls, "v25.0"; empty for none.
	Version string
	// AppSecret of Baton's own app; it proves every token. Empty sends no
	// proof.
	AppSecret string
	// Timeout of a call; 20 s when zero.
	Timeout time.Duration
	// MaxAnswerBytes bounds an answer that is read whole; 1 MiB when zero. A
	// longer one counts as broken.
	MaxAnswerBytes int64
	// MaxConnections to the platform at once; 256 when zero.
	MaxConnections int
}

// Client calls the platform. It is safe for concurrent use.
type Client struct {
	base    *url.URL
	config  Config
	http    *http.Client
	pool    *http.Transport
	timeout time.Duration
}

// New makes a client. The error says what is wrong with the base URL; nothing
// is dialled yet.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("platform: %q is not an http or https address", c.BaseURL)
	}
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Second
	}
	if c.MaxAnswerBytes <= 0 {
		c.MaxAnswerBytes = 1 << 20
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = 256
	}
	pool := transport(c.MaxConnections)
	return &Client{
		base: base.JoinPath(c.Version), config: c, pool: pool, timeout: c.Timeout,
		http: &http.Client{
			Transport:     pool,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// transport is the one pool of connections to the platform. Answers are passed
// on as they are, so nothing is decompressed on the way.
func transport(maxConnections int) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     maxConnections,
		MaxIdleConnsPerHost: maxConnections,
		IdleConnTimeout:     60 * time.Second,
		DisableCompression:  true,
	}
}

// BaseURL is the platform's address without version, as it was configured.
func (c *Client) BaseURL() string { return c.config.BaseURL }

// Close closes idle connections. Calls under way are not disturbed.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// address is the URL of a path below the version, with the token and its proof.
func (c *Client) address(path, token string, query url.Values) string {
	u := c.base.JoinPath(strings.TrimPrefix(path, "/"))
	q := make(url.Values, len(query)+2)
	maps.Copy(q, query)
	if token != "" {
		q.Set("access_token", token)
		if c.config.AppSecret != "" {
			q.Set("appsecret_proof", Proof(c.config.AppSecret, token))
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Proof is the appsecret_proof of a token: the hex HMAC-SHA256 of it under the
// app's secret.
func Proof(secret, token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return hex.EncodeToString(mac.Sum(nil))
}
