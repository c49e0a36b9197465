package egress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// origin is where connections lead to.
type origin struct {
	secure  bool
	address string // host:port
}

// originOf is the origin of an absolute http or https address.
func originOf(u *url.URL) (origin, error) {
	if u == nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return origin{}, fmt.Errorf("egress: %q is not an absolute http or https address", u)
	}
	o := origin{secure: u.Scheme == "https", address: u.Host}
	if u.Port() != "" && isASCII(u.Host) && u.Host[0] != '[' {
		return o, nil // as it is
	}
	host, err := asciiHost(u.Hostname())
	if err != nil {
		return origin{}, err
	}
	port := u.Port()
	switch {
	case port != "":
	case o.secure:
		port = "443"
	default:
		port = "80"
	}
	o.address = net.JoinHostPort(host, port)
	return o, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// asciiHost is a host as names are resolved. Punycode is known to net/http: it
// writes it into the Host of a request.
func asciiHost(host string) (string, error) {
	if isASCII(host) {
		return host, nil
	}
	var written bytes.Buffer
	if err := (&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: host}}).Write(&written); err != nil {
		return "", fmt.Errorf("egress: host %q: %w", host, err)
	}
	read, err := http.ReadRequest(bufio.NewReader(&written))
	if err != nil || read.Host == "" {
		return "", fmt.Errorf("egress: host %q is no name", host)
	}
	return read.Host, nil
}

var errHeader = errors.New("egress: a header that cannot be sent")

// compose appends a request to dst as it is sent, body included, and closes its
// body. A body of unknown length is read to its end first. Headers that frame
// the message are written by compose alone; trailers are not sent.
func compose(dst []byte, req *http.Request) ([]byte, error) {
	body, length := req.Body, req.ContentLength
	if body == nil || body == http.NoBody {
		body, length = nil, 0
	} else {
		defer func() { _ = body.Close() }()
	}
	if body != nil && length <= 0 {
		whole, err := io.ReadAll(body)
		if err != nil {
			return dst, fmt.Errorf("egress: request body: %w", err)
		}
		body, length = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
	}
	dst, err := composeHead(dst, req, length)
	if err != nil || length == 0 {
		return dst, err
	}
	head := len(dst)
	dst = slices.Grow(dst, int(length))[:head+int(length)]
	if _, err := io.ReadFull(body, dst[head:]); err != nil {
		return dst, fmt.Errorf("egress: request body: %w", err)
	}
	return dst, nil
}

func composeHead(dst []byte, req *http.Request, length int64) ([]byte, error) {
	method, target := req.Method, req.URL.RequestURI()
	if method == "" {
		method = http.MethodGet
	}
	host, err := hostOf(req)
	if err != nil {
		return dst, err
	}
	if !token(method) || !text(target) {
		return dst, fmt.Errorf("%w: %q %q", errHeader, method, target)
	}
	dst = append(append(append(append(dst, method...), ' '), target...), " HTTP/1.1"...)
	dst = appendHeader(append(dst, "\r\n"...), "Host", host)
	for name, values := range req.Header {
		if framing(name) {
			continue
		}
		for _, value := range values {
			if !token(name) || !text(value) {
				return dst, fmt.Errorf("%w: %q", errHeader, name) // its value may be a secret
			}
			dst = appendHeader(dst, name, value)
		}
	}
	if req.Close {
		dst = appendHeader(dst, "Connection", "close")
	}
	if length > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), length, 10), "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// hostOf is the value of Host.
func hostOf(req *http.Request) (string, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if zone := strings.IndexByte(host, '%'); zone >= 0 && host[0] == '[' { // RFC 6874: not for others
		if end := strings.LastIndexByte(host, ']'); end > zone {
			host = host[:zone] + host[end:]
		}
	}
	host, err := asciiHost(host)
	if err != nil {
		return "", err
	}
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`/\@,"`, c) >= 0 {
			return "", fmt.Errorf("%w: Host %q", errHeader, host)
		}
	}
	return host, nil
}

func appendHeader(dst []byte, name, value string) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// framing reports whether a header says where messages begin and end.
func framing(name string) bool {
	switch len(name) {
	case len("Host"):
		return strings.EqualFold(name, "Host")
	case len("Trailer"):
		return strings.EqualFold(name, "Trailer")
	case len("Connection"):
		return strings.EqualFold(name, "Connection")
	case len("Content-Length"):
		return strings.EqualFold(name, "Content-Length")
	case len("Transfer-Encoding"):
		return strings.EqualFold(name, "Transfer-Encoding")
	}
	return false
}

// token reports whether a name is one of RFC 9110, 5.6.2.
func token(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= 0x80 || !tokenBytes[c] {
			return false
		}
	}
	return name != ""
}

//nolint:gochecknoglobals // a constant table
var tokenBytes = func() (is [0x80]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		is[c] = true
	}
	return is
}()

// text reports whether a value can stand in a line.
func text(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
