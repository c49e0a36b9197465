package roster

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checker finds faults of meaning. It goes through everything; report takes the
// path of each fault.
type checker struct {
	report func(path, format string, args ...any)
	warn   func(text string)
	// stored says that a document is checked, whose connections may be left
	// without a token by revocations.
	stored bool
}

// settings checks everything but apps and pages.
func (k *checker) settings(c *Config) {
	if c.DataDir == "" {
		k.report("data_dir", "is empty")
	}
	if strings.ContainsFunc(c.Node, notInNodeName) {
		k.report("node", "%q has other characters than letters, digits, - and _", c.Node)
	}
	k.listen(c)
	k.nats(&c.NATS)
	k.oneOf("durability", string(c.Durability), string(DurabilityDev), string(DurabilityNode), string(DurabilityCluster))
	if c.Durability == DurabilityCluster && c.NATS.URL == "" {
		k.report("durability", "cluster needs nats.url: the embedded server is a single one")
	}
	if c.Partitions < 1 || c.Partitions > 1024 {
		k.report("partitions", "%d is not between 1 and 1024", c.Partitions)
	}
	k.oneOf("control.encoding", c.Control.Encoding, "json", "protobuf")
	for path, size := range map[string]Bytes{
		"limits.webhook_bytes": c.Limits.WebhookBytes, "limits.request_bytes": c.Limits.RequestBytes, "limits.upload_bytes": c.Limits.UploadBytes,
	} {
		if size < 1<<10 || size > 1<<30 {
			k.report(path, "%d is not between 1 KiB and 1 GiB", int64(size))
		}
	}
	k.platform(&c.Platform)
	k.egress(c.Egress.Allow)
	k.proxy(&c.Egress.Proxy)
	k.deliveryLog(&c.DeliveryLog)
	k.retention(c)
}

func notInNodeName(r rune) bool {
	return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

func (k *checker) retention(c *Config) {
	if c.Retention.Log != 0 {
		k.report("retention.log", "the log is kept for ever: verify and replay need all of it; remove the setting or set 0")
	}
	if age := time.Duration(c.Retention.DeadLetters); age > 0 && age < time.Hour {
		k.report("retention.dead_letters", "%s is below 1h; 0 is no bound", c.Retention.DeadLetters)
	}
	if size := c.Retention.DeadLettersBytes; size > 0 && size < 16<<20 {
		k.report("retention.dead_letters_bytes", "%d is below 16 MiB; 0 is no bound", int64(size))
	}
	longest := c.LongestRetry()
	if inbound := time.Duration(c.Retention.Inbound); inbound > 0 && inbound < longest && k.warn != nil {
		k.warn(fmt.Sprintf("retention.inbound %s is below the longest retry_for %s, which counts instead", c.Retention.Inbound, Duration(longest)))
	}
}

func (k *checker) listen(c *Config) {
	k.hostPort("listen.public", c.Listen.Public)
	host, ok := k.hostPort("listen.admin", c.Listen.Admin)
	if ok && !loopback(host) && len(c.Admin.Tokens) == 0 {
		k.report("listen.admin", "%s is not loopback: that needs admin.tokens", c.Listen.Admin)
	}
	tls := c.Listen.TLS
	if (tls.Cert == "") != (tls.Key == "") {
		k.report("listen.tls", "cert and key belong together")
	}
	if tls.ClientCA != "" && tls.Cert == "" {
		k.report("listen.tls.client_ca", "needs cert and key")
	}
	names := map[string]bool{}
	for i, t := range c.Admin.Tokens {
		path := fmt.Sprintf("admin.tokens[%d]", i)
		if t.Name == "" || names[t.Name] {
			k.report(path+".name", "%q is empty or used twice; the name is the actor of logged changes", t.Name)
		}
		names[t.Name] = true
		k.required(path+".token", t.Token)
		k.oneOf(path+".role", t.Role, "viewer", "operator", "admin")
		for j := range i {
			if !t.Token.IsZero() && t.Token.Equal(c.Admin.Tokens[j].Token) {
				k.report(path+".token", "is the same token as that of %q", c.Admin.Tokens[j].Name)
			}
		}
	}
}

func (k *checker) nats(n *NATS) {
	if n.URL != "" {
		k.natsClient(n)
	} else {
		k.natsEmbedded(n)
	}
	if (n.TLS.Cert == "") != (n.TLS.Key == "") {
		k.report("nats.tls", "cert and key belong together")
	}
	if n.URL == "" && n.Listen != "" {
		host, ok := k.hostPort("nats.listen", n.Listen)
		if ok && !loopback(host) && (len(n.Readers) == 0 || n.TLS.Cert == "") {
			k.report("nats.listen", "%s is not loopback: that needs nats.readers and nats.tls", n.Listen)
		}
	}
	names := map[string]bool{"baton": true, "reader": true}
	for i, r := range n.Readers {
		path := fmt.Sprintf("nats.readers[%d]", i)
		if r.Name == "" || names[r.Name] {
			k.report(path+".name", "%q is empty, reserved or used twice", r.Name)
		}
		names[r.Name] = true
		k.required(path+".password", r.Password)
		for j, id := range r.Pages {
			k.id(fmt.Sprintf("%s.pages[%d]", path, j), id)
		}
	}
}

// natsClient checks what is said about an existing server.
func (k *checker) natsClient(n *NATS) {
	for address := range strings.SplitSeq(n.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(address))
		if err != nil || u.Host == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			k.report("nats.url", "is not a nats:// or tls:// address, or several separated by commas")
			break
		}
		if u.User != nil {
			k.report("nats.url", "holds a user, which would show in logs: use nats.user and nats.password")
			break
		}
	}
	ways := 0
	for _, given := range []bool{n.Creds != "", n.NKey != "", n.User != ""} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		k.report("nats.creds", "creds, nkey and user exclude each other")
	}
	if n.User == "" && !n.Password.IsZero() {
		k.report("nats.password", "needs nats.user")
	}
	if len(n.Readers) > 0 {
		k.report("nats.readers", "are for the embedded server; with nats.url, readers are accounts of that server (deploy/nats)")
	}
}

// natsEmbedded refuses what only an existing server could use.
func (k *checker) natsEmbedded(n *NATS) {
	for key, given := range map[string]bool{
		"creds": n.Creds != "", "nkey": n.NKey != "", "user": n.User != "", "password": !n.Password.IsZero(),
	} {
		if given {
			k.report("nats."+key, "needs nats.url: the embedded server has identities of its own")
		}
	}
}

func (k *checker) platform(p *Platform) {
	if p.GraphURL != Simulator {
		u, err := url.Parse(p.GraphURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.User != nil {
			k.report("platform.graph_url", `is neither an http(s) address nor "simulator"`)
		}
		k.id("platform.app_id", p.AppID)
		k.required("platform.app_secret", p.AppSecret)
		k.required("platform.verify_token", p.VerifyToken)
	} else if p.AppID != "" {
		k.id("platform.app_id", p.AppID)
	}
	if p.Version != "" && !validVersion(p.Version) {
		k.report("platform.version", `%q is not of the form "v25.0"`, p.Version)
	}
	if t := time.Duration(p.Timeout); t < 100*time.Millisecond || t > 2*time.Minute {
		k.report("platform.timeout", "%s is not between 100ms and 2m", p.Timeout)
	}
}

func validVersion(v string) bool {
	major, minor, ok := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	_, err1 := strconv.ParseUint(major, 10, 16)
	_, err2 := strconv.ParseUint(minor, 10, 16)
	return ok && strings.HasPrefix(v, "v") && err1 == nil && err2 == nil
}

func (k *checker) egress(allow []string) {
	for i, a := range allow {
		path := fmt.Sprintf("egress.allow[%d]", i)
		if strings.Contains(a, "/") {
			prefix, err := netip.ParsePrefix(a)
			if err != nil {
				k.report(path, "%q is not a CIDR", a)
			} else if prefix != prefix.Masked() {
				k.report(path, "%q has bits beyond its length; write %s", a, prefix.Masked())
			}
			continue
		}
		if _, err := netip.ParseAddr(a); err == nil {
			k.report(path, "%q is a bare address; write it with a length (/32, /128) or a port", a)
			continue
		}
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || !validPort(port, 1) {
			k.report(path, "%q is neither a CIDR nor host:port", a)
		}
	}
}

// hostPort checks a listen address and returns its host.
func (k *checker) hostPort(path, address string) (host string, ok bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !validPort(port, 0) {
		k.report(path, "%q is not host:port", address)
		return "", false
	}
	return host, true
}

func validPort(port string, least uint64) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= least
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (k *checker) required(path string, s Secret) {
	if s.IsZero() {
		k.report(path, "is missing")
	}
}

func (k *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		k.report(path, "%q is none of %s%s", value, strings.Join(allowed, ", "), suggestion(value, allowed))
	}
}
