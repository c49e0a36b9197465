package roster

import (
	"time"

	"github.com/goccy/go-yaml"

	"github.com/baton-router/baton/pkg/partition"
)

// Config is the whole of baton.yaml. Load fills it: defaults, then the file,
// then the environment, then flags. Each field's yaml tag is its key; a scalar's
// environment variable is BATON_ and its path in upper case, joined by "_".
type Config struct {
	// DataDir holds everything that the process keeps on disk.
	DataDir string `yaml:"data_dir"`
	// Node names this node among others: letters, digits, - and _. Empty makes
	// one up at the first start and keeps it in DataDir.
	Node   string `yaml:"node"`
	Listen Listen `yaml:"listen"`
	NATS   NATS   `yaml:"nats"`
	// Durability is dev, node or cluster.
	Durability Durability `yaml:"durability"`
	Retention  Retention  `yaml:"retention"`
	// DeliveryLog bounds what a node remembers of its deliveries.
	DeliveryLog DeliveryLog `yaml:"delivery_log"`
	Admin       Admin       `yaml:"admin"`
	// Partitions is fixed for ever when the streams are created; 1 to 1024.
	Partitions int      `yaml:"partitions"`
	Control    Control  `yaml:"control"`
	Limits     Limits   `yaml:"limits"`
	Platform   Platform `yaml:"platform"`
	Egress     Egress   `yaml:"egress"`
	Apps       []App    `yaml:"apps"`
	Pages      []Page   `yaml:"pages"`
	// Warnings are what Load found worth saying without refusing the file.
	Warnings []string `yaml:"-"`
}

// Listen is where the two listeners stand, as host:port; port 0 takes a free
// one.
type Listen struct {
	Public string    `yaml:"public"`
	Admin  string    `yaml:"admin"`
	TLS    ListenTLS `yaml:"tls"`
}

// ListenTLS turns TLS on for both listeners when Cert is set.
type ListenTLS struct {
	Cert string `yaml:"cert"` // PEM file
	Key  string `yaml:"key"`  // PEM file
	// ClientCA makes client certificates signed by it a duty.
	ClientCA string `yaml:"client_ca"`
}

// NATS says which NATS server carries the streams.
type NATS struct {
	// URL of an existing server or cluster, several addresses separated by
	// commas; empty starts the embedded server.
	URL string `yaml:"url"`
	// Listen is where the embedded server can be reached by consumers; empty
	// keeps it in process.
	Listen string `yaml:"listen"`
	// Creds is a credentials file for URL, NKey a file with an nkey's seed; User
	// and Password are the third way. One of them at most.
	Creds    string `yaml:"creds"`
	NKey     string `yaml:"nkey"`
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// Readers may consume the control-change topic of the embedded server. On an
	// existing one they are accounts of that server.
	Readers []Reader `yaml:"readers"`
	// TLS is the embedded server's certificate, or with URL the CA and client
	// certificate to use towards it.
	TLS NATSTLS `yaml:"tls"`
}

// NATSTLS are PEM files.
type NATSTLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"`
}

// Reader is a consumer of the control-change topic.
type Reader struct {
	Name     string `yaml:"name"`
	Password Secret `yaml:"password"`
	// Pages are the assets whose changes it may read; empty for all.
	Pages []string `yaml:"pages"`
}

// Durability is the named class of what "durable" means.
type Durability string

// The durability classes.
const (
	DurabilityDev     Durability = "dev"     // no fsync
	DurabilityNode    Durability = "node"    // one server, fsync before each ack
	DurabilityCluster Durability = "cluster" // three servers, fsync
)

// Retention bounds what is kept; zero is no bound.
type Retention struct {
	// Inbound is how long webhooks stay after they were decided; in effect
	// never shorter than the longest retry_for.
	Inbound Duration `yaml:"inbound"`
	// InboundBytes bounds BATON_IN; when it is full ingress answers 503.
	InboundBytes Bytes    `yaml:"inbound_bytes"`
	Log          Duration `yaml:"log"`
	Control      Duration `yaml:"control"`
	// DeadLetters is how long deliveries that were given up are kept,
	// DeadLettersBytes bounds them all: the oldest go first.
	DeadLetters      Duration `yaml:"dead_letters"`
	DeadLettersBytes Bytes    `yaml:"dead_letters_bytes"`
}

// DeliveryLog bounds a node's log of deliveries: every failure, and a sample of
// what was taken.
type DeliveryLog struct {
	// Bytes and Age bound it; the oldest go first. Zero Bytes keeps none.
	Bytes Bytes    `yaml:"bytes"`
	Age   Duration `yaml:"age"`
	// Successes keeps one in so many deliveries that were taken; 0 for none.
	Successes int `yaml:"successes"`
	// BodyBytes is how much of a body is kept; 0 for none.
	BodyBytes Bytes `yaml:"body_bytes"`
}

// Admin guards the admin listener.
type Admin struct {
	// Tokens; none means that the listener must be loopback.
	Tokens []AdminToken `yaml:"tokens"`
}

// AdminToken lets its bearer use the admin RPCs under Name.
type AdminToken struct {
	Name  string `yaml:"name"`
	Token Secret `yaml:"token"`
	// Role is viewer, operator or admin.
	Role string `yaml:"role"`
}

// Control configures the control-change topic.
type Control struct {
	// Encoding of its bodies: json (protobuf JSON) or protobuf.
	Encoding string `yaml:"encoding"`
}

// Limits bound what the public listener accepts.
type Limits struct {
	// WebhookBytes and RequestBytes bound the bodies of webhooks and of Graph
	// requests; UploadBytes those of multipart requests, which are streamed.
	WebhookBytes Bytes `yaml:"webhook_bytes"`
	RequestBytes Bytes `yaml:"request_bytes"`
	UploadBytes  Bytes `yaml:"upload_bytes"`
}

// Platform is the side that reaches people.
type Platform struct {
	// GraphURL is the base URL of the platform, or "simulator".
	GraphURL string `yaml:"graph_url"`
	// Version is the version prefix of forwarded calls, "v25.0"; empty for none.
	Version string `yaml:"version"`
	// AppID is Baton's own app on the platform, AppSecret its secret.
	AppID       string `yaml:"app_id"`
	AppSecret   Secret `yaml:"app_secret"`
	VerifyToken Secret `yaml:"verify_token"`
	// Timeout of a forwarded call.
	Timeout Duration `yaml:"timeout"`
}

// Simulator is the GraphURL of the built-in stand-in for the platform.
const Simulator = "simulator"

// Egress says which private addresses callbacks may reach, and how.
type Egress struct {
	// Allow are CIDRs, or host:port.
	Allow []string `yaml:"allow"`
	Proxy Proxy    `yaml:"proxy"`
}

// Proxy tunnels all that goes to callbacks and token endpoints (CONNECT). It
// resolves their names, and judges the addresses.
type Proxy struct {
	// URL is http://host:port or https://host:port; empty for no proxy.
	URL      string `yaml:"url"`
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
	// CA is a PEM file with the roots of an https proxy; empty for the system's.
	CA string `yaml:"ca"`
}

// Default returns the configuration that an empty file changes nothing of.
func Default() Config {
	return Config{
		DataDir:    "./data",
		Listen:     Listen{Public: "127.0.0.1:8080", Admin: "127.0.0.1:8081"},
		NATS:       NATS{Listen: "127.0.0.1:4222"},
		Durability: DurabilityNode,
		Retention: Retention{
			Inbound: Duration(168 * time.Hour), DeadLetters: Duration(720 * time.Hour), DeadLettersBytes: 256 << 20,
		},
		DeliveryLog: DeliveryLog{Bytes: 256 << 20, Age: Duration(72 * time.Hour), Successes: 1000, BodyBytes: 4 << 10},
		Partitions:  partition.Default,
		Control:     Control{Encoding: "json"},
		Limits:      Limits{WebhookBytes: 8 << 20, RequestBytes: 1 << 20, UploadBytes: 32 << 20},
		Platform:    Platform{GraphURL: "https://graph.facebook.com", Timeout: Duration(20 * time.Second)},
	}
}

// LongestRetry is the longest retry_for of any app: how long an undelivered
// webhook may still be wanted.
func (c Config) LongestRetry() time.Duration {
	longest := time.Duration(0)
	for _, a := range c.Apps {
		longest = max(longest, time.Duration(a.Delivery.RetryFor))
	}
	return longest
}

// Print is the configuration as YAML, every setting of it, with secrets hidden.
func (c Config) Print() ([]byte, error) { return yaml.Marshal(c) }
